"""A folder that takes the place of another: one of them has the name at any moment."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import OutputError
from kit.storage.files import make_folder, naming, sync_folder
from kit.storage.half_written import new_part

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder to write into, which takes the name of `folder` if the block succeeds.

    Raises:
        OutputError: it cannot be made or named; `folder` is what it was.
    """
    make_folder(folder.parent)
    with naming(folder):
        part = new_part(folder.parent)
    try:
        yield part
        replace_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_folder(new: Path, folder: Path) -> None:
    """Give the folder `new`, beside `folder`, its name; what had it goes when the new one is there.

    Raises:
        OutputError: it cannot be done; `folder` is what it was.
    """
    with naming(folder):
        sync_folder(new)
        if not folder.exists():
            new.rename(folder)
            try:
                sync_folder(folder.parent)
            except OutputError:
                folder.rename(new)
                raise
            return
        _change_places(new, folder)
        try:
            sync_folder(folder.parent)
        except OutputError:
            _change_places(new, folder)
            raise
        shutil.rmtree(new, ignore_errors=True)


def _change_places(new: Path, folder: Path) -> None:
    if _exchange(new, folder):
        return
    aside = new_part(folder.parent)  # the name is missing for an instant
    folder.rename(aside)
    try:
        new.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    aside.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    exchanged: int = renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return exchanged == 0
