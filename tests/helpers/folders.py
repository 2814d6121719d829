"""Copies of folders to work in."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def copy_of(folder: Path, copy: Path) -> Iterator[Path]:
    """Copy a folder, and have the copy as the current one while the block runs."""
    shutil.copytree(folder, copy)
    before = Path.cwd()
    os.chdir(copy)
    yield copy
    os.chdir(before)
