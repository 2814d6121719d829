"""What a server asks of an archive: its folder, the names and shape of its images, its measure.

In: the name of a year or a TOML file. Out: the layout, and the names of images where there is no
list. Refused by name: a field that no layout has, and a value that no archive could follow.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.archive.contents import SUFFIX
from kit.archive.reader import name_danger
from kit.archive.records import MAX_ENTRIES
from kit.errors import InputError, no_such
from kit.metrics import MEASURES
from kit.variants.overlay import from_toml

ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Everything that the server of a year asks for.

    `root` is the one folder in the archive. `pattern` makes a name in it of a `{scene}`, and of a
    `{number}` from 1 to `images` where a radar scene has several; it serves where there is no list
    of names. Images have `bands` channels of `size` x `size` pixels, 0 for any size. `mapping` is
    the shape of the year's truth, "2022", "2023" or "any"; `measure` the official one, a key of
    `kit.metrics.MEASURES`.
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
        if self.mapping not in ("2022", "2023", ANY):
            raise self._wrong("mapping", f"2022, 2023 or {ANY}")
        if self.measure not in MEASURES:
            raise self._wrong("measure", f"one of {', '.join(MEASURES)}")
        made = self.pattern.replace("{scene}", "s").replace("{number}", "1")
        numbered = self.images == 1 or "{number}" in self.pattern
        if not numbered or "{scene}" not in self.pattern or set(made) & set("{}"):
            raise self._wrong("pattern", "a name with {scene}, and {number} where images > 1")
        if name_danger(made):
            raise self._wrong("pattern", "a plain name")

    def _wrong(self, field: str, allowed: str) -> InputError:
        value = getattr(self, field)
        return InputError(self.name, f"{field} is {value!r}", remedy=f"it must be {allowed}")


# Only the list of 2022 shows how an image is named; three a scene is what 2023 speaks of.
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
            mapping=ANY, measure="mae",
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
    raise no_such("layout", name, LAYOUTS, ", or a TOML file of your own")


def layout_option(height: int, width: int) -> str:
    """What `kit package` needs for tiles that some layouts refuse, a space before it; else ""."""
    return " --layout plain" if _refusing(height, width) else ""


def _refusing(height: int, width: int) -> list[Layout]:
    """The layouts that refuse images of a size."""
    sized = [layout for layout in LAYOUTS.values() if layout.size]
    return [layout for layout in sized if (height, width) != (layout.size, layout.size)]


def size_warning(height: int, width: int) -> str:
    """What to know of tiles whose images some layouts refuse; empty if none does."""
    others = _refusing(height, width)
    if not others:
        return ""
    asked = ", ".join(f"{layout.name} ({layout.size}x{layout.size})" for layout in others)
    return f"tiles of {height}x{width}: kit package needs --layout plain, as others refuse: {asked}"


def name_images(scenes: Iterable[str], layout: Layout) -> dict[str, str]:
    """The names of the images where there is no list of the server, sorted, each with its scene."""
    return {
        f"{layout.root}/{name.replace('{number}', str(number))}{layout.suffix}": scene
        for scene in sorted(scenes)
        for name in (layout.pattern.replace("{scene}", scene),)
        for number in range(1, layout.images + 1)
    }
