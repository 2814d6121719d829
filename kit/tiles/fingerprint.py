"""What a tile is like on disk, to report whether it is still the one that was read."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from kit.tiles.netcdf import file_of

ABSENT = -1


def stat(file: str) -> tuple[int, int]:
    """The size in bytes and the time in ns of a tile's file; `ABSENT` both if it is gone."""
    try:
        found = os.stat(file_of(file))
    except OSError:
        return ABSENT, ABSENT
    return found.st_size, found.st_mtime_ns


def state_of(paths: Iterable[Path]) -> str | None:
    """A digest of tiles on disk, by name, size and time; None if one is not there.

    Where they lie is no part of it: moved, they are the same.
    """
    parts = []
    for path in paths:
        try:
            found = os.stat(file_of(path))
        except OSError:
            return None
        parts.append(f"{path.name} {found.st_size} {found.st_mtime_ns}")
    text = "\n".join(parts).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=8).hexdigest()
