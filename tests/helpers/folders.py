"""Copies of folders to work in."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The tensors of checkpoints: nine tenths of the bytes of trained runs. The kit never writes into
# them, so that copies of a folder can share them.
_SHARED = "checkpoints/*/*.safetensors"


@contextmanager
def copy_of(folder: Path, copy: Path) -> Iterator[Path]:
    """Copy a folder, and have the copy as the current one while the block runs.

    Tensors of checkpoints are linked: a test that damages one has to unlink it first.
    """
    shared = _shared_in(folder)
    shutil.copytree(folder, copy, copy_function=_link_or_copy)
    before = Path.cwd()
    os.chdir(copy)
    yield copy
    os.chdir(before)
    assert _shared_in(folder) == shared, "written into: unlink a checkpoint before you change it"


def _link_or_copy(source: str, target: str) -> None:
    (os.link if Path(source).match(_SHARED) else shutil.copy2)(source, target)


def _shared_in(folder: Path) -> dict[Path, tuple[int, int]]:
    """The size, and the time of the last change, of each file that copies share."""
    found = {path: path.stat() for path in folder.glob(f"runs/*/{_SHARED}")}
    return {path: (each.st_size, each.st_mtime_ns) for path, each in found.items()}
