"""The earlier run of a folder that is trained again: kept in it until the new one has weights.

In: the folder of a run, locked. Out: the earlier run in `.earlier`, back in its place if the new
one has saved nothing when it ends, however that is, or removed. A folder in it that is a link, to a
larger disk say, stays one, with an `.earlier` of its own.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from kit.runs.folder import BEST, saved
from kit.storage.files import naming, sync_folder, write_bytes
from kit.storage.half_written import is_part

_EARLIER = ".earlier"
_COMPLETE = ".complete"  # in it, when all of the earlier run is


def set_aside(folder: Path) -> None:
    """Move the run in `folder` aside, so that a new one begins there.

    Raises:
        OutputError: it cannot be moved; then it is where it was.
    """
    if (folder / _EARLIER / _COMPLETE).exists():
        # The run that is there has no weights yet.
        _clear(folder)
        return
    with naming(folder):
        for place in _places(folder):
            (place / _EARLIER).mkdir(exist_ok=True)
            for path in _contents(place):
                path.rename(place / _EARLIER / path.name)
            sync_folder(place)
    write_bytes(folder / _EARLIER / _COMPLETE, b"")


def settle(folder: Path) -> None:
    """Put the earlier run back if the new one has saved nothing, or remove it if that has weights.

    Raises:
        OutputError: it cannot be done; the next call goes on.
    """
    earlier = folder / _EARLIER
    if not earlier.exists():
        return
    with naming(folder):
        if (earlier / _COMPLETE).exists():
            if (folder / BEST).exists():
                _remove(folder)
            if saved(folder):
                return
            _clear(folder)
            (earlier / _COMPLETE).unlink()
        for place in _places(folder):
            if (place / _EARLIER).exists():
                for path in (place / _EARLIER).iterdir():
                    path.rename(place / path.name)
                (place / _EARLIER).rmdir()
                sync_folder(place)


def _remove(folder: Path) -> None:
    # The mark last: what is not removed is then not taken for a run that is to come back.
    for place in reversed([*_places(folder)]):
        for path in sorted((place / _EARLIER).glob("*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != _COMPLETE:
                path.unlink()
        shutil.rmtree(place / _EARLIER, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Remove a run from its folder, checkpoints first, so that none is resumed from afterwards."""
    for place in reversed([*_places(folder)]):
        for path in sorted(_contents(place)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _places(folder: Path) -> Iterator[Path]:
    """The folder, and those in it that are links."""
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.is_symlink():
            yield path


def _contents(place: Path) -> list[Path]:
    """What belongs to a run, of what is in one of its places."""
    kept = (".lock", _EARLIER)
    found = [path for path in place.iterdir() if path.name not in kept and not is_part(path)]
    return [path for path in found if not (path.is_dir() and path.is_symlink())]
