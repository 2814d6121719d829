"""What tiles are like on disk, to say whether they are still those that were read.

A tile is its file and the sidecars beside it (see `kit.tiles.sidecars`).
"""

import hashlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from kit.tiles.netcdf import File, file_of
from kit.tiles.sidecars import sidecars_of, with_sidecars

ABSENT = -1


def states(files: Iterable[File]) -> list[list[int]]:
    """Of each tile the size in bytes, and in ns the times of its content and of its status.

    The latter, ctime, also changes where a file is replaced by another one of the same size and
    time; and, with the content as it was, where it is renamed or its permissions change. All three
    are `ABSENT` if the file is gone.
    """
    paths = [file_of(file) for file in files]
    beside = with_sidecars(paths)
    return [_state(path, beside) for path in paths]


def sizes_and_times(files: Iterable[File]) -> list[list[int]]:
    """The first two of `states`, which a copy keeps if it keeps times."""
    return [state[:2] for state in states(files)]


def digest(files: Iterable[File]) -> tuple[str, int] | None:
    """A digest of tiles on disk, and when one of them changed last; None if one is not there.

    The digest is by name, size and time. The folders that they lie in are no part of it: moved, or
    copied with their times, they are the same. When they changed is the latest ctime, in ns.
    """
    listed = list(files)
    found = states(listed)
    if any(size == ABSENT for size, *_ in found):
        return None
    text = "\n".join(
        f"{Path(str(file)).name} {size} {time}"
        for file, (size, time, _) in zip(listed, found, strict=True)
    )
    encoded = text.encode(errors="surrogateescape")
    changed = max(changed for *_, changed in found)
    return hashlib.blake2b(encoded, digest_size=8).hexdigest(), changed


def _state(path: str, beside: Collection[str]) -> list[int]:
    try:
        tile = os.stat(path)
        if path not in beside:  # almost always, and there may be millions
            return [tile.st_size, tile.st_mtime_ns, tile.st_ctime_ns]
        found = [tile, *map(os.stat, sidecars_of(path))]
    except (OSError, ValueError):
        return [ABSENT, ABSENT, ABSENT]
    return [
        sum(status.st_size for status in found),
        max(status.st_mtime_ns for status in found),
        max(status.st_ctime_ns for status in found),
    ]
