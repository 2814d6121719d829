"""The files in a folder and in all folders below it, however deep these are nested.

`os.walk` and `Path.rglob` call themselves for each level (Python 3.11), and an archive of a few
kilobytes unpacks to more levels than Python's stack has.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

Links = Literal["kept", "once", "always"]


def walk(
    folder: Path,
    *,
    links: Links = "kept",
    hidden: bool = True,
    onerror: Callable[[OSError], None] | None = None,
) -> Iterator["os.DirEntry[str]"]:
    """Everything below `folder` that is not a folder itself, in no order.

    Args:
        folder: where to begin.
        links: what becomes of links to folders. "kept" yields them as they are, "once" enters each
            folder once, and "always" each but those that the link itself lies in.
        hidden: whether what has a name that begins with a dot counts.
        onerror: called with the error of a folder that cannot be listed, which is left out then.

    Raises:
        OSError: a folder cannot be listed, and there is no `onerror`.
    """
    waiting: list[tuple[str, _Above | None]] = [(str(folder), None)]
    seen: set[_Identity] = set()
    while waiting:
        name, above = waiting.pop()
        try:
            status = os.stat(name)
            own = status.st_dev, status.st_ino
            if own in seen if links == "once" else _is_inside(own, above):
                continue
            if links == "once":
                seen.add(own)
            with os.scandir(name) as listed:
                entries = [entry for entry in listed if hidden or not entry.name.startswith(".")]
        except OSError as error:
            if onerror is None:
                raise
            onerror(error)
            continue
        for entry in entries:
            if _is_folder(entry, follow_links=links != "kept"):
                waiting.append((entry.path, (own, above)))
            else:
                yield entry


_Identity = tuple[int, int]
# A folder, and the folders that it lies in.
_Above = tuple[_Identity, "_Above | None"]


def _is_folder(entry: "os.DirEntry[str]", *, follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a link that leads to itself
        return False


def _is_inside(own: _Identity, above: "_Above | None") -> bool:
    while above:
        first, above = above
        if first == own:
            return True
    return False
