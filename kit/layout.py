"""What a server asks of an archive: the folder in it, the size of its images, their names.

In: a list of names as the server tells it. Out: the names, checked. Refused by name: a file of
another shape, and names that no archive should hold or that belong to another layout.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kit.archive import SUFFIX, danger
from kit.errors import InputError
from kit.files import read_json
from kit.truth import read_mapping

_REMEDY = "give what the server tells at /translation/api/expected-files"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder in the archive, and the side of an image in pixels (None for any)."""

    root: str
    size: int | None


LAYOUTS = {
    "2022": Layout(root="CH3", size=256),
    "2023": Layout(root="translation", size=256),
    "plain": Layout(root="images", size=None),
}


def read_expected(path: Path, layout: Layout) -> tuple[str, ...]:
    """The names that a server asks for.

    The file is what the server tells at `expected-files`, a plain list of names, or its mapping of
    truths and submissions; in the mapping a name without a folder means one in the layout's.

    Raises:
        InputError: the file is not JSON or not such a list, or a name in it does not fit.
    """
    listed = read_json(path, _REMEDY)
    if isinstance(listed, dict) and "files" in listed:
        names = listed["files"]
        if isinstance(names, list) and listed.get("count", len(names)) != len(names):
            raise InputError(path, f"lists {len(names)} of {listed['count']} names", _REMEDY)
    elif isinstance(listed, dict):
        names = [name for sar in read_mapping(path) for name in sar.submissions]
        names = [name if "/" in name else f"{layout.root}/{name}" for name in names]
    else:
        names = listed
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(path, "is not a list of names", _REMEDY)
    names = [name.removeprefix("/") for name in dict.fromkeys(names)]
    for name in names:
        _check(path, name, layout)
    return tuple(names)


def _check(where: Path, name: str, layout: Layout) -> None:
    if not name.endswith(SUFFIX):
        raise InputError(where, f"{name} does not end in {SUFFIX}", "only such images are written")
    if (problem := danger(zipfile.ZipInfo(name))) or str(PurePosixPath(name)) != name:
        raise InputError(where, f"{name!r} {problem or 'is not a plain path'}", _REMEDY)
    if not name.startswith(f"{layout.root}/"):
        fitting = [key for key, other in LAYOUTS.items() if name.startswith(f"{other.root}/")]
        remedy = f"give --layout {fitting[0]}" if fitting else "is this the list of the server?"
        raise InputError(where, f"{name} is not in the layout's folder, {layout.root}/", remedy)
