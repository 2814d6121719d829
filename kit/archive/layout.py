"""What a server asks of an archive: its folder, the names and shape of its images, its measure.

In: the name of a year or a TOML file, and the list of names as the server tells it. Out: the
layout, and the names, checked. Refused by name: a file of another shape, a field that no layout
has, and names that no archive should hold or that belong to another layout.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.archive.mapping import mapping_year, parse_mapping, read_list, scene_in
from kit.archive.reader import SUFFIX, name_danger, same_but_for_case
from kit.archive.records import MAX_ENTRIES
from kit.errors import InputError
from kit.metrics import RULES
from kit.overlay import from_toml
from kit.tiles.names import SceneKey

_REMEDY = "give what the server tells at /translation/api/expected-files"
_ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Everything that the server of a year asks for.

    `root` is the one folder in the archive. `pattern` makes a name in it of a `{scene}`, and of a
    `{number}` from 1 to `images` where a radar scene has several; it serves where there is no list
    of names. Images have `bands` channels of `size` x `size` pixels, 0 for any size. `mapping` is
    the shape of the year's truth, "2022", "2023" or "any"; `measure` the official one, a key of
    `kit.metrics.RULES`.
    """

    name: str
    root: str
    pattern: str = "Sentinel2_{scene}"
    suffix: str = SUFFIX
    images: int = 1
    size: int = 256
    bands: int = 3
    mapping: str
    measure: str

    def __post_init__(self) -> None:
        """Refuse values that no archive could follow.

        Raises:
            InputError: names the layout, the field and what it may be.
        """
        if "/" in self.root or name_danger(self.root):
            raise self._wrong("root", "one folder")
        if self.suffix != SUFFIX:
            raise self._wrong("suffix", f"{SUFFIX}, which is what the kit writes and reads")
        for field, least in (("images", 1), ("size", 0), ("bands", 1)):
            if not least <= getattr(self, field) <= MAX_ENTRIES:
                raise self._wrong(field, f"from {least} to {MAX_ENTRIES:,}")
        if self.mapping not in ("2022", "2023", _ANY):
            raise self._wrong("mapping", f"2022, 2023 or {_ANY}")
        if self.measure not in RULES:
            raise self._wrong("measure", f"one of {', '.join(RULES)}")
        made = self.pattern.replace("{scene}", "s").replace("{number}", "1")
        numbered = self.images == 1 or "{number}" in self.pattern
        if not numbered or "{scene}" not in self.pattern or set(made) & set("{}"):
            raise self._wrong("pattern", "a name with {scene}, and {number} where images > 1")
        if name_danger(made):
            raise self._wrong("pattern", "a plain name")

    def _wrong(self, field: str, allowed: str) -> InputError:
        value = getattr(self, field)
        return InputError(self.name, f"{field} is {value!r}", remedy=f"it must be {allowed}")


# The name of an image was told by the list of 2022 alone; three a scene is what 2023 speaks of.
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            name="2022", root="CH3", pattern="Sentinel2_{scene}", images=1, size=256,
            mapping="2022", measure="official_2022",
        ),
        Layout(
            name="2023", root="translation", pattern="Sentinel2_{scene}_{number}", images=3,
            size=256, mapping="2023", measure="official_2023",
        ),
        Layout(
            name="plain", root="images", pattern="Sentinel2_{scene}", images=1, size=0,
            mapping=_ANY, measure="mae",
        ),
    )
}  # fmt: skip


def find_layout(name: str | Path) -> Layout:
    """The layout called `name`, or described by the TOML file `name`.

    Such a file says `base = "2023"` and the fields that differ.

    Raises:
        InputError: no such layout or file, an unknown field, or a value that does not fit.
    """
    if str(name) in LAYOUTS:
        return LAYOUTS[str(name)]
    if str(name).endswith(".toml"):
        return from_toml(Path(name), LAYOUTS)
    known = ", ".join(LAYOUTS)
    raise InputError(
        name, "no such layout", remedy=f"known are {known}, or a TOML file of your own"
    )


def name_images(scenes: Iterable[str], layout: Layout) -> dict[str, str]:
    """The names of the images where the server told none, sorted, each with its scene."""
    return {
        f"{layout.root}/{name.replace('{number}', str(number))}{layout.suffix}": scene
        for scene in sorted(scenes)
        for name in (layout.pattern.replace("{scene}", scene),)
        for number in range(1, layout.images + 1)
    }


def read_expected(path: Path, layout: Layout) -> tuple[str, ...]:
    """The names that a server asks for, see `read_scenes`."""
    return tuple(read_scenes(path, layout))


def read_scenes(path: Path, layout: Layout) -> dict[str, SceneKey | None]:
    """The names that a server asks for, each with its radar scene.

    The file is what the server tells at `expected-files`, `{count, image_type, files: [name]}`, a
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
        problem = f"lists {one[:120]!r} and {other[:120]!r}, which differ in case alone"
        raise InputError(path, problem, remedy=_REMEDY)
    return scenes


def _counted(where: Path, listed: Mapping[str, Any], layout: Layout) -> Any:
    """The `files` of what the server tells, if they are as many and of the kind that it says."""
    names = listed["files"]
    count = listed.get("count", len(names) if isinstance(names, list) else None)
    if isinstance(names, list) and (type(count) is not int or count != len(names)):
        raise InputError(where, f"lists {len(names):,} of {str(count)[:80]} names", remedy=_REMEDY)
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
    if layout.mapping not in (year, _ANY):
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
