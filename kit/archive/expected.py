"""The server's list of the names that it expects, each with its radar scene.

In: what the server answers at `expected-files`, a plain list of names, or its mapping of truths to
submissions. Out: the names, checked against a layout. Refused by name: a file of another shape, and
names that no archive should hold or that belong to another layout.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.archive.layout import ANY, LAYOUTS, Layout
from kit.archive.mapping import mapping_year, parse_mapping, read_list, scene_in
from kit.archive.reader import name_danger, same_but_for_case
from kit.archive.records import MAX_ENTRIES
from kit.errors import InputError
from kit.tiles.names import SceneKey

_REMEDY = "give the server's answer at /translation/api/expected-files"


def read_expected(path: Path, layout: Layout) -> dict[str, SceneKey | None]:
    """The names that a server asks for, each with its radar scene.

    The file is what the server answers at `expected-files`, `{count, image_type, files: [name]}`, a
    plain list of names, or the year's mapping of truths and submissions; in the mapping a name
    without a folder means one in the layout's. How many names a scene has is the list's to say.

    A name's scene is the `<lon>_<lat>_<YYYY>_<MM>_<DD>` in its last part. What follows the date,
    such as the `_1` to `_3` of 2023, numbers the images of the scene, and all of them get its
    prediction. In a mapping of 2022 the scene is that in the name of the SAR input, where there is
    one, for the submissions may be named by other dates. A name that speaks of no scene has None.

    Raises:
        InputError: the file is not JSON or not such a list, its names are not as many as it counts
            or not all different, or a name in it does not fit the layout.
    """
    listed = read_list(path, _REMEDY)
    if isinstance(listed, dict) and "files" in listed:
        scenes = _scenes_of(path, _counted(path, listed, layout))
    elif isinstance(listed, dict):
        scenes = _scenes_mapped(path, listed, layout)
    else:
        scenes = _scenes_of(path, listed)
    if len(scenes) > MAX_ENTRIES:
        raise _too_many(path, len(scenes))
    for name in scenes:
        _check(path, name, layout)
    for one, other in same_but_for_case(scenes):
        problem = f"lists {one[:120]!r} and {other[:120]!r}, which differ only in case"
        raise InputError(path, problem, remedy=_REMEDY)
    return scenes


def _counted(where: Path, listed: Mapping[str, Any], layout: Layout) -> Any:
    """The `files` of the server's answer, if their number and type are those that it states."""
    names = listed["files"]
    count = listed.get("count", len(names) if isinstance(names, list) else None)
    if isinstance(names, list) and (type(count) is not int or count != len(names)):
        raise InputError(
            where,
            f"lists {len(names):,} names where its count is {str(count)[:80]}",
            remedy=_REMEDY,
        )
    kind = listed.get("image_type", layout.suffix)
    if kind != layout.suffix:
        problem = f"asks for images of type {str(kind)[:80]!r}, not {layout.suffix}"
        raise InputError(where, problem, remedy="only such images are written")
    return names


def _scenes_of(where: Path, names: Any) -> dict[str, SceneKey | None]:
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(where, "is not a list of names", remedy=_REMEDY)
    if len(names) > MAX_ENTRIES:
        raise _too_many(where, len(names))
    names = [name.removeprefix("/") for name in names]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        remedy = "fetch the list again; each name belongs there once"
        raise InputError(where, f"lists {name[:80]!r} {times} times", remedy=remedy)
    return {name: scene_in(name) for name in names}


def _scenes_mapped(
    where: Path, mapping: Mapping[str, Any], layout: Layout
) -> dict[str, SceneKey | None]:
    inputs = parse_mapping(where, mapping)
    year = mapping_year(mapping)
    if layout.mapping not in (year, ANY):
        raise InputError(
            where,
            f"is a mapping of {year}, not of {layout.mapping}",
            remedy=f"give --layout {year}",
        )
    scenes: dict[str, SceneKey | None] = {}
    for sar in inputs:
        radar = scene_in(sar.name) if year == "2022" else None
        for name in sar.submissions:
            full = name if "/" in name else f"{layout.root}/{name}"
            scenes.setdefault(full, radar or scene_in(name))
    return scenes


def _check(where: Path, name: str, layout: Layout) -> None:
    shown = repr(name[:120])
    if problem := name_danger(name):
        raise InputError(where, f"{shown} {problem}", remedy=_REMEDY)
    if not name.endswith(layout.suffix):
        problem = f"{shown} does not end in {layout.suffix}"
        raise InputError(where, problem, remedy="only such images are written")
    if not name.startswith(f"{layout.root}/"):
        fitting = [key for key, other in LAYOUTS.items() if name.startswith(f"{other.root}/")]
        remedy = f"give --layout {fitting[0]}" if fitting else "is this the list of the server?"
        raise InputError(
            where, f"{shown} is not in the layout's folder, {layout.root}/", remedy=remedy
        )


def _too_many(where: Path, names: int) -> InputError:
    return InputError(where, f"lists {names:,} names, more than {MAX_ENTRIES:,}", remedy=_REMEDY)
