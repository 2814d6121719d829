"""Radar images of another layout that are to be predicted -> radar tiles.

In: a folder, and the units of the tiles that weights were trained on. Out, in a folder of its own
in `work/inputs/`: what `kit.sources.folder` writes of a test part, with truths where the images
have optical twins in the same units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.doubt import Units, settle
from kit.errors import InputError
from kit.progress import Advance
from kit.sources.definition import Definition
from kit.sources.detect import only_tiles
from kit.sources.folder import write_folder
from kit.sources.index import INDEX, INPUTS
from kit.sources.places import MadeUp
from kit.sources.radar_listing import list_radar
from kit.sources.sample import take_sample
from kit.sources.twins import Twins
from kit.sources.units import SourceUnits, doubts, optical_doubts, range_doubts
from kit.storage.files import json_sha256
from kit.tiles.rejection import Rejection
from kit.units_record import UnitsRecord, units_text


@dataclass(frozen=True, slots=True)
class RadarImages:
    """The radar images of a folder that are to be predicted, found and not yet converted.

    `folder` is that of the tiles to be; `lines` say what was found, `doubts` what speaks against
    the units.
    """

    data: Path
    definition: Definition
    images: tuple[Twins, ...]
    asked: SourceUnits
    folder: Path
    lines: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def units(self) -> UnitsRecord:
        """The record of units of the tiles; None for dB and DN."""
        return self.asked.record()

    @property
    def tiles(self) -> Path:
        """The folder of radar tiles."""
        return self.folder / "test"

    def convert(self, advance: Advance | None = None) -> list[Rejection]:
        """Write the tiles; returns the images that cannot be read.

        Raises:
            InputError: none of them can be read, or they lie in the folder of tiles.
            BusyError: another process converts the folder.
            OutputError: a tile cannot be written.
        """
        # Places of their own: a made-up one is not to be taken for ground that was trained on.
        places = MadeUp(from_end=True)
        _, failed = write_folder(
            self.data, self.images, self.definition, self.asked, places, self.folder, advance
        )
        if not any(self.tiles.iterdir()):
            reasons = "; ".join(f"{item.name}: {item.reason}" for item in failed[:3])
            problem = f"no radar image can be read ({reasons})"
            raise InputError(self.data, problem, remedy="fetch them again, or mend them")
        return failed


def find_radar_images(
    data: Path,
    work: Path,
    trained: Mapping[str, Any] | None,
    source: str | None = None,
    unit: str | None = None,
    units: Units = "check",
    advance: Advance | None = None,
) -> RadarImages | None:
    """Look at a folder of images to predict; None if it is one of tiles.

    Args:
        data: the folder: that of a data set, of which the test part counts if it has one, or that
            of radar images.
        work: the folder of tables, in which the tiles get a folder.
        trained: the record of units of the tiles that weights were trained on.
        source: what the user named; None to look.
        unit: of the radar images, if not what the source says.
        units: what becomes of doubts about it.
        advance: called with (done, total) during the work.

    Raises:
        InputError: it holds images of two layouts, or none of the radar; none can be read; or
            values are impossible for their unit.
    """
    if not unit and only_tiles(data, source):
        return None
    found = list_radar(data, source, advance, tiles=bool(unit))
    if found is None:
        return None
    where, definition, images, others = found.where, found.definition, found.images, found.others
    folder = work / INPUTS / f"{where.name or 'root'}-{json_sha256(str(where))[:8]}"
    asked = SourceUnits.as_trained(unit or definition.radar.unit, trained)
    alone = tuple(Twins(each.radar, None, each.part) for each in images)
    sample = take_sample(where, alone, definition)
    found_doubts = doubts(sample, asked)
    if asked.record() == trained:  # otherwise no range fits, and whoever predicts refuses them
        found_doubts += range_doubts(sample, asked)
    doubtful = settle(data, found_doubts, units)
    asked, passed_over = _with_optical(where, images, definition, asked)
    lines = [f"source {definition.name} ({definition.about}): {len(images):,} radar images"]
    if others:
        lines.append(f"only the test part is predicted, and not the {others:,} others")
    lines += [
        f"units: {units_text(asked.record())}",
        f"{folder / INDEX} says which image became which scene",
    ]
    if passed_over:
        lines.append(f"optical images are passed over: {passed_over}")
        images = alone
    elif any(each.optical for each in images):
        lines.append(f"{folder / 'truth'} holds the optical tiles to score with")
    return RadarImages(where, definition, images, asked, folder, (*lines,), doubtful)


def _with_optical(
    data: Path, images: Sequence[Twins], definition: Definition, asked: SourceUnits
) -> tuple[SourceUnits, str]:
    """The units with that of optical twins, and why these cannot be used, "" if they can be."""
    unit, twins = definition.optical.unit, [Twins(None, i.optical, i.part) for i in images]
    if not any(each.optical for each in twins):
        return asked, ""
    if (unit == "picture") != (asked.optical == "picture"):
        return asked, f"they hold {unit}, and the weights were trained on {asked.optical}"
    asked = replace(asked, optical=unit)
    try:
        sample = take_sample(data, twins, definition)
    except InputError as error:
        return asked, error.brief
    impossible = [doubt.problem for doubt in optical_doubts(sample, unit) if doubt.impossible]
    return asked, impossible[0] if impossible else ""
