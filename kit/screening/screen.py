"""Tiles -> ratios: how much of each scene is nodata, cloud by QA60, and cloud by the rule.

In: a folder of tiles. Out, in the work folder: `screen/`, the pixel counts in parts of a few
thousand scenes; `scenes.parquet`, the readable scenes with their ratios; `rejected.csv`, the rest
with the reasons; and, if a detector is asked, `detector/` (see `kit.screening.second_look`). Only
what changed since the last run, and what a new rule can change, is read. A scene that cannot be
read is listed, and does not stop the others; what is done stays, however a run ends.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.doubt import Units, settle
from kit.errors import InputError
from kit.progress import Advance
from kit.screening import second_look, ukis
from kit.screening.detector import Detector
from kit.screening.executor import workers
from kit.screening.look import WITHOUT_NIR
from kit.screening.measure import measure
from kit.screening.part_pass import PartPass
from kit.screening.parts import Part, PartFiles
from kit.screening.rule import CloudRule
from kit.screening.same_tiles import check_same_tiles
from kit.screening.second_look import SecondLook
from kit.screening.seen import Seen
from kit.screening.store import SCREEN, read_part, store
from kit.screening.table import (
    CLOUDS,
    SCENES,
    dataset1,
    dataset2,
    row_groups,
    write_screened,
)
from kit.storage.files import WORK, AnyPath, together
from kit.storage.half_written import sweep
from kit.storage.lock import lock
from kit.tiles.catalog import Catalog, catalog
from kit.tiles.names import BANDS
from kit.tiles.rejection import FAILED, REJECTED, Rejection, tally, tally_text, write_rejected

PART = 2048
_RULE = CloudRule()


@dataclass(frozen=True, slots=True)
class Looked:
    """What a second look found among the scenes without nodata and QA60 cloud.

    `scenes` were seen, `measured` of them in this run, `without_b8` with their red for near
    infrared. The rule passes `flagged` that are not clear by the detector, and drops `admitted`
    that are; either is 0 where the detector is not asked about such scenes.
    """

    detector: str
    on: str
    max_flagged: float
    scenes: int
    measured: int
    without_b8: int
    flagged: int
    admitted: int

    @property
    def lines(self) -> tuple[str, ...]:
        """What it changed, and what its verdicts suffer from, for a reader."""
        found = [
            f"{self.detector} on {self.on}: it has seen {self.scenes} scenes; {self.flagged} that "
            f"the rule passes are not clear to it, {self.admitted} that the rule drops are admitted"
        ]
        if self.without_b8:
            which = f"{self.without_b8} of these scenes have no B8 beside their other tiles"
            found.append(f"{which}: red is shown in its place")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Screening:
    """What a run found: readable scenes of each sensor, how many of them it read, what it left out.

    `dataset1` are the optical scenes without nodata and QA60 cloud, `dataset2` those of them that
    are clear by the rule, and by the detector if one is asked; pairs are not counted here.
    `clipped` is the share of the values of radar, and of cloudless optical scenes, that lie outside
    the ranges of networks; `doubts` are lines about units (see `kit.tiles.units`).
    """

    scenes_s1: int
    scenes_s2: int
    dataset1: int
    dataset2: int
    measured: int
    parts: int
    rejected: tuple[Rejection, ...]
    clipped: dict[str, float]
    doubts: tuple[str, ...]
    second_look: Looked | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what was left out as a number for each kind of reason."""
        found = asdict(self)
        del found["rejected"]
        return found | {"dropped": tally(self.rejected)}


def screen(
    data: AnyPath,
    work: AnyPath = WORK,
    *,
    rule: CloudRule = _RULE,
    max_cloud: float = 0.0,
    detector: Detector | None = None,
    units: Units = "check",
    scheduler: str | None = None,
    advance: Advance | None = None,
) -> Screening:
    """Measure every scene of `data` that was not measured before as it is now.

    Memory holds the names of the scenes and a few parts, however many there are.

    Args:
        data: a folder of tiles.
        work: the folder of tables.
        rule: the cloud rule.
        max_cloud: the largest cloud ratio by the rule that Dataset-2 admits.
        detector: what looks at scenes beside the rule; the rule alone decides if None.
        units: what becomes of doubts about units.
        scheduler: the address of a dask.distributed scheduler whose workers see the same paths;
            threads of this process if None.
        advance: called with (done, total) during the work; total is 0 while the folder is listed.

    Raises:
        InputError: no tiles, an address where no workers are, or workers without the tiles; the
            detector is not installed; or values that are not dB and DN.
        BusyError: another process screens into the same folder, or it holds pairs of other tiles.
        OutputError: a table cannot be written.
    """
    data, work = Path(data), Path(work)
    check_same_tiles(data, work)
    with lock(work):
        measured = measure_all(
            data, work, rule, scheduler, advance, detector=detector, max_cloud=max_cloud
        )
        with together(work) as new:
            result = measured.write(new, max_cloud, units)
        measured.finish()
    return result


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of all scenes of a folder, in the store of a work folder.

    `others` is how many tiles there are of each sensor that the kit does not use, and `measured`
    how many scenes were read now. `look` is that of a detector, if one was asked.
    """

    data: Path
    work: Path
    files: PartFiles
    parts: Sequence[Path]
    rejected: tuple[Rejection, ...]
    others: Mapping[str, int]
    measured: int
    look: SecondLook | None = None

    def write(self, new: Callable[[str], Path], max_cloud: float, units: Units) -> Screening:
        """Write the tables; `new` gives the place of each, as `kit.storage.files.together` does.

        Raises:
            InputError: no scene could be read, and `failed.csv` says why; or the units are wrong.
            OutputError: a table cannot be written.
        """
        write_screened(new(SCENES), map(self._table, self.parts))
        write_rejected(new(REJECTED), self.rejected)
        seen = Seen.of(self.parts)
        doubts = settle(self.data, seen.doubts(), units)
        result = _result(new(SCENES), max_cloud, self, seen, doubts)
        if not result.scenes_s1 + result.scenes_s2:
            write_rejected(self.work / FAILED, self.rejected)
            problem = f"no scene could be read ({tally_text(tally(self.rejected))})"
            raise InputError(self.data, problem, remedy=f"see {self.work / FAILED}")
        return result

    def finish(self) -> None:
        """Remove what the tables that are there now have no more use for."""
        self.files.sweep({path.name for path in self.parts})
        if self.look:
            self.look.finish()
        (self.work / FAILED).unlink(missing_ok=True)

    def _table(self, path: Path) -> pa.Table:
        part = read_part(path)
        return self.look.beside(path, part) if self.look else part


def measure_all(
    data: Path,
    work: Path,
    rule: CloudRule,
    scheduler: str | None,
    advance: Advance | None,
    *,
    detector: Detector | None,
    max_cloud: float,
) -> Measured:
    """Measure what was not measured before; the caller has locked the work folder.

    No table is touched; raises as `screen`. `max_cloud` matters to a detector alone: what it looks
    at depends on what passes the rule.
    """
    if detector:
        ukis.version()  # before anything is read
    for folder in (data, work):
        try:
            os.fspath(folder).encode()
        except UnicodeEncodeError:
            raise InputError(
                ascii(str(folder)), "its name is not UTF-8", remedy="rename it"
            ) from None
    with workers(scheduler) as pool:
        sweep(work / SCREEN)
        found = catalog(Path(os.path.realpath(data)), advance)
        files = store(work, rule)
        run = PartPass(files, measure, rule, pool, len(found.scenes), advance)
        run.run((part, None) for part in _parts(found))
        look = None
        if detector:
            optical = run.paths[-(-len(found.of("Sentinel1")) // PART) :]
            scenes = found.of("Sentinel2")
            look = second_look.look_again(work, scenes, optical, detector, max_cloud, pool, advance)
    # Parts end in any order; the list does not.
    unreadable = sorted(run.rejected, key=lambda item: item.name)
    return Measured(
        data=data,
        work=work,
        files=files,
        parts=run.paths,
        rejected=(*found.rejected, *unreadable, *(look.rejected if look else ())),
        others=found.others,
        measured=run.measured,
        look=look,
    )


def _parts(found: Catalog) -> Iterator[Part]:
    """The scenes in parts, those of one sensor together."""
    number = 0
    for sensor in BANDS:
        scenes = found.of(sensor)
        for start in range(0, len(scenes), PART):
            yield Part.of(number, tuple(scenes[start : start + PART]))
            number += 1


def _result(
    table: Path, max_cloud: float, found: Measured, seen: Seen, doubts: tuple[str, ...]
) -> Screening:
    scenes = dataset1_size = dataset2_size = optical = 0
    looked = np.zeros(4, np.int64)
    for group in row_groups(table, [*CLOUDS, "detector", "detector_bands"]):
        admitted = dataset2(group, max_cloud)
        scenes += len(group)
        optical += int((np.asarray(group["sensor"]) == "Sentinel2").sum())
        dataset1_size += int(dataset1(group).sum())
        dataset2_size += int(admitted.sum())
        looked += _looked(group, max_cloud, admitted)
    return Screening(
        scenes_s1=scenes - optical,
        scenes_s2=optical,
        dataset1=dataset1_size,
        dataset2=dataset2_size,
        measured=found.measured,
        parts=len(found.parts),
        rejected=found.rejected,
        clipped=seen.clipped(),
        doubts=doubts,
        second_look=_second_look(found.look, looked.tolist()) if found.look else None,
    )


def _looked(group: pa.Table, max_cloud: float, admitted: NDArray[np.bool_]) -> list[int]:
    """Of a group the scenes of Dataset-1 that were seen, those without B8, and what changed."""
    candidate = dataset1(group)
    passed = np.asarray(group["cloud_ratio"]) <= max_cloud
    seen = candidate & np.asarray(pc.is_valid(group["detector"]))
    red = np.array(group["detector_bands"].to_pylist(), object) == WITHOUT_NIR
    masks = (seen, seen & red, candidate & passed & ~admitted, ~passed & admitted)
    return [int(mask.sum()) for mask in masks]


def _second_look(look: SecondLook, numbers: list[int]) -> Looked:
    scenes, without_b8, flagged, admitted = numbers
    return Looked(
        detector=look.version,
        on=look.detector.on,
        max_flagged=look.detector.max_flagged,
        scenes=scenes,
        measured=look.measured,
        without_b8=without_b8,
        flagged=flagged,
        admitted=admitted,
    )
