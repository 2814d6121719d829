"""A folder of another layout -> tiles, so that all that follows is the same for every source.

In: a folder, and the source that says what its files are. Out: `work/tiles/`, as
`kit.sources.folder` writes it, and what was found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.doubt import Units, settle
from kit.errors import InputError
from kit.progress import Advance
from kit.sources.describing import describe
from kit.sources.detect import Choice
from kit.sources.folder import write_folder
from kit.sources.index import TILES
from kit.sources.listing import list_images
from kit.sources.places import MadeUp
from kit.sources.sample import take_sample
from kit.sources.twins import absent_from, find_twins, tally_parts
from kit.sources.units import Range, SourceUnits, doubts, require_reflectance, settle_ranges
from kit.tiles.names import SENSORS, SceneKey
from kit.tiles.rejection import Rejection
from kit.units_record import UnitsRecord

_NAMES = "the two images of a pair need equal names, or a source of your own says how they differ"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says of units: units and ranges that differ from the source's, None if none."""

    radar: str | None = None
    optical: str | None = None
    ranges: Mapping[str, Range | str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.radar or self.optical or any(self.ranges.values()))


@dataclass(frozen=True, slots=True)
class Converted:
    """What a folder became; `train` is the folder of its radar and optical tiles.

    `held` are the optical scenes of the validation part.

    `files` are those of the scenes, by sensor and key as lists of what was left out have them.
    `lines` say what was found and what is missing, `doubts` what speaks against the units.
    """

    train: Path
    source: str
    parts: Mapping[str, int]
    held: frozenset[SceneKey]
    files: Mapping[str, str]
    rejected: tuple[Rejection, ...]
    units: UnitsRecord
    max_cloud: float
    lines: tuple[str, ...]
    doubts: tuple[str, ...]

    def with_file(self, item: Rejection) -> Rejection:
        """What was left out, with the file that its scene was made of: names of scenes are made."""
        file = self.files.get(item.name)
        return replace(item, reason=f"{item.reason} ({file})") if file else item


def convert_folder(
    data: Path,
    paths: Sequence[str],
    choice: Choice,
    work: Path,
    wanted: Wanted,
    units: Units,
    advance: Advance | None,
    reflectance: bool,
) -> Converted:
    """Convert a folder to tiles.

    Args:
        data: the folder.
        paths: of its files, relative and with slashes.
        choice: the layout.
        work: the folder of tables, in which the tiles get a folder.
        wanted: what the user says of units.
        units: what becomes of doubts about them.
        advance: called with (done, total) during the work.
        reflectance: whether to refuse optical values that are no DN of reflectance.

    Raises:
        InputError: there are no twins, none can be read, or values are impossible for their unit,
            or no reflectance where they have to be; or an image lies in the folder of tiles.
        BusyError: another process converts into the folder.
        OutputError: a tile cannot be written.
    """
    definition = choice.definition
    found = list_images(paths, definition, choice.number)
    twins, lonely = find_twins(data, found, definition, paths)
    if not twins:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in lonely[:3])
        problem = f"holds no pair of the source {definition.name} ({reasons or 'no image'})"
        raise InputError(data, problem, remedy=_NAMES)
    if all(each.part == "test" for each in twins):
        problem = f"has no pair to train on: all {len(twins)} are of the test part"
        remedy = "give the folder of the whole data set, or correct the lists of its split"
        raise InputError(data, problem, remedy=remedy)
    told = SourceUnits(
        wanted.radar or definition.radar.unit, wanted.optical or definition.optical.unit
    )
    sample = take_sample(data, twins, definition)
    doubtful = settle(data, doubts(sample, told), units)
    settled = settle_ranges(told, wanted.ranges, sample)
    if reflectance:
        require_reflectance("--detector", settled.record())
    folder = work / TILES
    scenes, failed = write_folder(data, twins, definition, settled, MadeUp(), folder, advance)
    held = [s.key for s in scenes if s.image.sensor == "optical" and s.image.part == "val"]
    return Converted(
        train=folder / "train",
        source=definition.name,
        parts=tally_parts(twins),
        held=frozenset(held),
        files={
            f"{SENSORS[s.image.sensor]} {s.key}": next(iter(s.image.files.values())) for s in scenes
        },
        rejected=(*lonely, *failed),
        units=settled.record(),
        max_cloud=definition.max_cloud,
        lines=describe(
            definition, choice, found, twins, settled, absent_from(data, definition, paths, found)
        ),
        doubts=doubtful,
    )
