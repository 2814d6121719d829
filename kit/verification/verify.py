"""Everything that the kit has written -> what of it is damaged, and which command mends it.

In: folders, such as `work`, `runs`, `predictions` and `submissions`. Out: how many files of each
kind were checked, and what is wrong. Nothing is changed. With the data, the pixels of a pack are
compared with their checksums, and the tiles with what the screening measured.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.progress import Advance
from kit.storage.files import ENGINES, FITTED, PREDICTIONS, RUNS, SUBMISSIONS, WORK, AnyPath
from kit.storage.seal import is_sealed
from kit.storage.walk import walk
from kit.verification.artefacts import Artefact, find_artefact
from kit.verification.pixels import check_pixels

FOLDERS = (WORK, RUNS, PREDICTIONS, ENGINES, FITTED, SUBMISSIONS)


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that cannot be used as it is: what is wrong with it, and what to do."""

    path: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked: files of each kind, those without a checksum, and what is damaged.

    `unsealed` were written by a kit before 0.3.0: they can be read, but not vouched for.
    """

    folders: tuple[Path, ...]
    checked: dict[str, int]
    unsealed: tuple[Path, ...]
    damaged: tuple[Damage, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "folders": [*map(str, self.folders)],
            "checked": self.checked,
            "unsealed": [*map(str, self.unsealed)],
            "damaged": [asdict(each) for each in self.damaged],
        }


def verify(
    folders: Sequence[AnyPath] = (), *, data: bool = False, advance: Advance | None = None
) -> Verification:
    """Check all that the kit reads back in these folders and below.

    Args:
        folders: which; those of `FOLDERS` that are here if none is given.
        data: read the pixels of packs, and the tiles of each screening, too.
        advance: called with the files checked, and their number.

    Raises:
        InputError: a folder is not there, or holds nothing of the kit.
    """
    chosen = [*map(Path, folders)] or [folder for folder in FOLDERS if folder.is_dir()]
    if missing := [folder for folder in chosen if not folder.is_dir()]:
        raise InputError(missing[0], "no such folder", remedy="name folders that the kit wrote")
    damaged: list[Damage] = []
    files = [path for folder in chosen for path in _files(folder, damaged.append)]
    found = [(path, artefact) for path in files if (artefact := find_artefact(path))]
    if not found and not damaged:
        where = ", ".join(map(str, chosen)) or os.curdir
        known = ", ".join(map(str, FOLDERS))
        raise InputError(where, "holds nothing that the kit wrote", remedy=f"known are {known}")
    unsealed: list[Path] = []
    for done, (path, artefact) in enumerate(found, start=1):
        damaged += _check(path, artefact)
        if artefact.sealed and not is_sealed(path):
            unsealed.append(path)
        if advance:
            advance(done, len(found))
    if data:
        damaged += map(_damage, check_pixels(files, advance))
    return Verification(
        folders=tuple(chosen),
        checked=dict(Counter(artefact.name for _, artefact in found)),
        unsealed=tuple(unsealed),
        damaged=tuple(dict.fromkeys(damaged)),
    )


def _files(folder: Path, report: Callable[[Damage], None]) -> list[Path]:
    """The files below a folder, in order, but what is half written, whose names begin with a dot.

    Reports each folder that cannot be listed.
    """

    def refuse(error: OSError) -> None:
        report(_unreadable(str(error.filename), error))

    entries = walk(folder, links="always", hidden=False, onerror=refuse)
    return sorted(Path(entry.path) for entry in entries)


def _check(path: Path, artefact: Artefact) -> Iterator[Damage]:
    try:
        yield from map(_damage, artefact.check(path))
    except InputError as error:
        yield _damage(error)
    except OSError as error:
        yield _unreadable(str(path), error)


def _unreadable(path: str, error: OSError) -> Damage:
    return Damage(path, f"cannot be read ({error.strerror or error})", "check the disk")


def _damage(error: InputError) -> Damage:
    return Damage(error.where, error.problem, error.remedy)
