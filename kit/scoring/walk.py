"""The files in a folder and in all folders below it, however deep these are nested.

`os.walk` and `Path.rglob` call themselves for each level (Python 3.11), and an archive of a few
kilobytes unpacks to more levels than Python's stack has.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path, *, follow_links: bool = False) -> Iterator["os.DirEntry[str]"]:
    """Everything below `folder` that is not a folder itself, in no order.

    Args:
        folder: where to begin.
        follow_links: enter the folders that links lead to, each folder once; if not, such a link
            is yielded as it is.

    Raises:
        OSError: a folder cannot be listed.
    """
    waiting = [str(folder)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        name = waiting.pop()
        status = os.stat(name)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(name) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=follow_links):
                    waiting.append(entry.path)
                else:
                    yield entry
