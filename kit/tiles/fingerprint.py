"""What tiles are like on disk, to say whether they are still those that were read."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from kit.tiles.netcdf import Plane, file_of

ABSENT = -1


def sizes_and_times(files: Iterable[str | Path | Plane]) -> list[list[int]]:
    """Of each tile's file the size in bytes and the time in ns; `ABSENT` both if it is gone."""
    return [_size_and_time(file) for file in files]


def digest(files: Iterable[str | Path | Plane]) -> str | None:
    """A digest of tiles on disk, by name, size and time; None if one is not there.

    The folders that they lie in are no part of it: moved, they are the same.
    """
    lines = []
    for file in files:
        size, time = _size_and_time(file)
        if size == ABSENT:
            return None
        lines.append(f"{Path(str(file)).name} {size} {time}")
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _size_and_time(file: str | Path | Plane) -> list[int]:
    try:
        found = os.stat(file_of(file))
    except OSError:
        return [ABSENT, ABSENT]
    return [found.st_size, found.st_mtime_ns]
