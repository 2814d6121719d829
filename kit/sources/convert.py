"""A folder of another layout -> tiles, so that all that follows is the same for every source.

In: a folder, and the source that says what its files are. Out, in `work/tiles/`: `train/`, with the
tiles of both sensors; `test/` and `truth/`, with the radar and the optical tiles of the test part;
`source.json`, what they were made of; `index.csv`, which file became which scene. Images are read
once: PNG and tiles of 13 bands would else be inflated in each epoch.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.files import make_folder
from kit.lock import lock
from kit.progress import Advance
from kit.seal import read_record, write_record
from kit.sources.definition import Definition
from kit.sources.describing import describe
from kit.sources.detect import Choice
from kit.sources.listing import list_images
from kit.sources.placing import place_all
from kit.sources.sample import take_sample
from kit.sources.twins import absent_from, find_twins, tally_parts
from kit.sources.units import Range, SourceUnits, doubts, settle_ranges
from kit.sources.writing import sweep, write_all, write_index
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection
from kit.tiles.unfinished import UNFINISHED
from kit.tiles.units import Units, settle

FOLDER, SOURCE = "tiles", "source.json"
_FORMAT = 1
_REMEDY = "run kit prepare DATA again"


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
    """What a folder became; `held` are the optical scenes of its validation part.

    `lines` say what was found and what is missing, `doubts` what speaks against the units.
    """

    folder: Path
    source: str
    parts: Mapping[str, int]
    held: frozenset[SceneKey]
    rejected: tuple[Rejection, ...]
    units: dict[str, Any] | None
    max_cloud: float
    lines: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def train(self) -> Path:
        """The folder of the tiles of both sensors."""
        return self.folder / "train"


def read_units(tiles: Path) -> dict[str, Any] | None:
    """The record of units of a folder of tiles; None where they hold dB and DN.

    Raises:
        InputError: the record of the source is damaged.
    """
    for path in (tiles / SOURCE, tiles.parent / SOURCE):
        if path.exists():
            found: dict[str, Any] | None = read_record(path, _FORMAT, _REMEDY).get("units")
            return found
    return None


def convert_folder(
    data: Path,
    paths: Sequence[str],
    choice: Choice,
    work: Path,
    wanted: Wanted,
    units: Units,
    advance: Advance | None,
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

    Raises:
        InputError: there are no twins, none can be read, or values are impossible for their unit.
        BusyError: another process converts into the folder.
        OutputError: a tile cannot be written.
    """
    definition = choice.definition
    found = list_images(paths, definition, choice.number)
    twins, lonely = find_twins(data, found, definition, paths)
    if not twins:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in lonely[:3])
        problem = f"holds no pair of the source {definition.name} ({reasons or 'no image'})"
        raise InputError(data, problem, remedy="the two images of a pair need equal names")
    told = SourceUnits(
        wanted.radar or definition.radar.unit, wanted.optical or definition.optical.unit
    )
    sample = take_sample(data, twins, definition)
    doubtful = settle(data, doubts(sample, told), units)
    settled = settle_ranges(told, wanted.ranges, sample)
    folder = work / FOLDER
    with lock(folder):
        # A folder of tiles that are made in another way begins again.
        recipe = {"definition": _plain(definition), "units": asdict(settled)}
        _begin(folder, recipe)
        scenes, repeated = place_all(data, twins, definition, settled)
        failed = write_all(data, scenes, definition, settled, folder, advance)
        sweep(folder, scenes)
        write_index(folder, scenes)
        record = {"source": definition.name, "data": str(data), "units": settled.record()}
        write_record(folder / SOURCE, _FORMAT, record | {"recipe": recipe})
        (folder / UNFINISHED).unlink(missing_ok=True)
    held = [s.key for s in scenes if s.image.sensor == "optical" and s.image.part == "val"]
    return Converted(
        folder=folder,
        source=definition.name,
        parts=tally_parts(twins),
        held=frozenset(held),
        rejected=(*lonely, *repeated, *failed),
        units=settled.record(),
        max_cloud=definition.max_cloud,
        lines=describe(
            definition, choice, found, twins, settled, absent_from(data, definition, paths, found)
        ),
        doubts=doubtful,
    )


def _begin(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Mark the folder as unfinished; empty it if its tiles were made by another recipe."""
    before: Any = None
    for path in (folder / UNFINISHED, folder / SOURCE):
        with suppress(InputError):
            if path.exists():
                before = read_record(path, _FORMAT, _REMEDY)
                break
    plain = before and before.get("recipe")
    make_folder(folder)
    for part in ("train", "test", "truth", "qa60"):
        make_folder(folder / part)
        if plain != json.loads(json.dumps(recipe)):
            for entry in os.scandir(folder / part):
                os.unlink(entry.path)
    write_record(folder / UNFINISHED, _FORMAT, {"recipe": recipe})
    (folder / SOURCE).unlink(missing_ok=True)


def _plain(definition: Definition) -> dict[str, Any]:
    """What of a definition decides the tiles."""
    sides = {
        sensor: {"bands": dict(side.bands), "count": side.count}
        for sensor, side in (("radar", definition.radar), ("optical", definition.optical))
    }
    return {"name": definition.name, "group": [*definition.group], **sides}
