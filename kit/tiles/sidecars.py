"""Files beside a tile that say more of it: a mask (`.msk`), or GDAL's metadata (`.aux.xml`).

Almost no folder has them, so that to ask for each tile would cost more than the answer is worth.
A folder is listed once, and the list holds as long as the folder's time stays the same. In one that
is changing, each tile is asked for.
"""

import os
import time
from collections.abc import Sequence

SIDECARS = (".msk", ".aux.xml")
_SETTLED = 10**9  # ns; a folder may change again without another time sooner than that
_LISTED: dict[str, tuple[int, frozenset[str]]] = {}


def with_sidecars(paths: Sequence[str]) -> set[str]:
    """Those of these tiles that have a sidecar."""
    found: set[str] = set()
    for folder in {path.rpartition("/")[0] for path in paths}:
        names = _names(folder)
        if names is None or names:
            inside = [path for path in paths if path.rpartition("/")[0] == folder]
            found |= {
                path
                for path in inside
                if (sidecars_of(path) if names is None else os.path.basename(path) in names)
            }
    return found


def sidecars_of(path: str) -> list[str]:
    """The sidecars that a tile has."""
    return [path + suffix for suffix in SIDECARS if os.path.lexists(path + suffix)]


def _names(folder: str) -> frozenset[str] | None:
    """The tiles of a folder that have a sidecar; None where each has to be asked for."""
    folder = folder or "."
    try:
        changed = os.stat(folder).st_mtime_ns
        if folder not in _LISTED and time.time_ns() - changed >= _SETTLED:
            _LISTED[folder] = changed, _listed(folder)
    except (OSError, ValueError):
        return None
    noted, names = _LISTED.get(folder, (None, frozenset()))
    return names if noted == changed else None


def _listed(folder: str) -> frozenset[str]:
    with os.scandir(folder) as entries:
        beside = [entry.name for entry in entries if entry.name.endswith(SIDECARS)]
    return frozenset(name.removesuffix(suffix) for name in beside for suffix in SIDECARS)
