"""Tiles -> ratios: how much of each scene is nodata, cloud by QA60, and cloud by the heuristic.

In: a folder of tiles. Out, in the work folder: `screen/`, the pixel counts in parts of a few
thousand scenes; `scenes.parquet`, the readable scenes with their ratios; `rejected.csv`, the rest
with the reasons. Only what changed since the last run, and what a new rule can change, is read. A
scene that cannot be read is listed, and does not stop the others; what is done stays, however a
run ends.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import kit
from kit.errors import InputError
from kit.files import WORK, AnyPath, together
from kit.half_written import sweep
from kit.lock import lock
from kit.progress import Advance
from kit.screening.executor import Workers, workers
from kit.screening.measure import SCHEMA as MEASURES
from kit.screening.measure import measure
from kit.screening.rule import CloudRule
from kit.screening.same_tiles import check_same_tiles
from kit.screening.seen import Seen
from kit.screening.store import FOLDER, Part, Store, read_part
from kit.screening.table import RATIOS, SCENES, dataset1, row_groups, write_screened
from kit.tiles.catalog import Catalog, catalog
from kit.tiles.names import BANDS
from kit.tiles.rejection import FAILED, REJECTED, Rejection, tally, tally_text, write_rejected
from kit.tiles.scenes import Scene
from kit.tiles.units import Units, settle

PART = 2048
_RULE = CloudRule()

# For each scene of a part what an earlier run measured, if that still holds.
_Rows = list[dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Screening:
    """What a run found: readable scenes of each sensor, how many of them it read, what it left out.

    `dataset1` are the optical scenes without nodata and QA60 cloud, `dataset2` those of them that
    the heuristic keeps; pairs are not counted here. `clipped` is the share of the values of radar,
    and of cloudless optical scenes, that lie outside the ranges of networks; `doubts` are lines
    about units (see `kit.tiles.units`).
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

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what was left out as a number for each kind of reason."""
        numbers = {name: getattr(self, name) for name in self.__slots__ if name != "rejected"}
        return numbers | {"dropped": tally(self.rejected)}


def screen(
    data: AnyPath,
    work: AnyPath = WORK,
    *,
    rule: CloudRule = _RULE,
    max_cloud: float = 0.0,
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
        max_cloud: the largest heuristic cloud ratio that Dataset-2 admits.
        units: what becomes of doubts about units.
        scheduler: the address of a dask.distributed scheduler whose workers see the same paths;
            threads of this process if None.
        advance: called with (done, total) during the work; total is 0 while the folder is listed.

    Raises:
        InputError: no tiles, an address where no workers are, or workers without the tiles; or
            values that are not dB and DN.
        BusyError: another process screens into the same folder, or it holds pairs of other tiles.
        OutputError: a table cannot be written.
    """
    data, work = Path(data), Path(work)
    check_same_tiles(data, work)
    with lock(work):
        measured = measure_all(data, work, rule, scheduler, advance)
        with together(work) as new:
            result = measured.write(new, max_cloud, units)
        measured.finish()
    return result


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of all scenes of a folder, in the store of a work folder.

    `others` is how many tiles there are of each sensor that the kit does not use, and `measured`
    how many scenes were read now.
    """

    data: Path
    work: Path
    store: Store
    parts: Sequence[Path]
    rejected: tuple[Rejection, ...]
    others: Mapping[str, int]
    measured: int

    def write(self, new: Callable[[str], Path], max_cloud: float, units: Units) -> Screening:
        """Write the tables; `new` gives the place of each, as `kit.files.together` does.

        Raises:
            InputError: no scene could be read, and `failed.csv` says why; or the units are wrong.
            OutputError: a table cannot be written.
        """
        write_screened(new(SCENES), map(read_part, self.parts))
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
        self.store.sweep({path.name for path in self.parts})
        (self.work / FAILED).unlink(missing_ok=True)


def measure_all(
    data: Path, work: Path, rule: CloudRule, scheduler: str | None, advance: Advance | None
) -> Measured:
    """Measure what was not measured before; the caller has locked the work folder.

    No table is touched; raises as `screen`.
    """
    for folder in (data, work):
        try:
            os.fspath(folder).encode()
        except UnicodeEncodeError:
            raise InputError(
                ascii(str(folder)), "its name is not UTF-8", remedy="rename it"
            ) from None
    with workers(scheduler) as pool:
        sweep(work)
        sweep(work / FOLDER)
        found = catalog(Path(os.path.realpath(data)), advance)
        store = Store(work / FOLDER, rule)
        run = _Screener(store, rule, pool, len(found.scenes), advance)
        run.measure(found)
    # Parts end in any order; the list does not.
    unreadable = sorted(run.rejected, key=lambda item: item.name)
    return Measured(
        data=data,
        work=work,
        store=store,
        parts=run.paths,
        rejected=(*found.rejected, *unreadable),
        others=found.others,
        measured=run.measured,
    )


@dataclass(slots=True)
class _Screener:
    """One pass over the parts; `paths` are their files in order."""

    store: Store
    rule: CloudRule
    pool: Workers
    total: int
    advance: Advance | None
    done: int = 0
    measured: int = 0
    paths: list[Path] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)

    def measure(self, found: Catalog) -> None:
        """Measure what has to be; a few parts at a time, so that memory stays flat."""
        waiting: dict[Future[pa.Table], tuple[Part, _Rows]] = {}
        for part in _parts(found):
            self.paths.append(self.store.path(part))
            if self.store.holds(part):
                self._advance_by(len(part.scenes))
                continue
            known = self.store.known(part)
            files = [
                scene.files for scene, row in zip(part.scenes, known, strict=True) if row is None
            ]
            sensor, threads = part.scenes[0].sensor, self.pool.threads
            task = self.pool.executor.submit(
                measure, sensor, files, self.rule, threads, kit.__version__
            )
            waiting[task] = part, known
            while len(waiting) >= self.pool.tasks:
                self._collect(waiting)
        while waiting:
            self._collect(waiting)

    def _collect(self, waiting: dict[Future[pa.Table], tuple[Part, _Rows]]) -> None:
        for task in self.pool.first_done(waiting):
            part, known = waiting.pop(task)
            fresh = self.pool.result(task)
            self._check_access(part, known, fresh)
            self.measured += len(fresh)
            table = part.table(_merge(known, fresh))
            for scene, problem in zip(part.scenes, table["problem"].to_pylist(), strict=True):
                if problem is not None:
                    self.rejected.append(scene.unreadable(problem))
            self.store.write(part, table)
            self._advance_by(len(part.scenes))

    def _check_access(self, part: Part, known: _Rows, fresh: pa.Table) -> None:
        """Refuse workers that fail at every tile because their machines do not have the tiles."""
        if not self.pool.address or not len(fresh) or fresh["problem"].null_count:
            return
        for scene, row in zip(part.scenes, known, strict=True):
            if row is None and self._is_readable(scene):
                where = f"scheduler {self.pool.address}"
                problem = f"its workers cannot read {scene.files[0]}"
                raise InputError(where, problem, remedy="mount the tiles at the same path there")

    def _is_readable(self, scene: Scene) -> bool:
        table = measure(scene.sensor, [scene.files], self.rule, 1, kit.__version__)
        return bool(table["problem"].null_count)

    def _advance_by(self, scenes: int) -> None:
        self.done += scenes
        if self.advance:
            self.advance(self.done, self.total)


def _parts(found: Catalog) -> Iterator[Part]:
    """The scenes in parts, those of one sensor together."""
    number = 0
    for sensor in BANDS:
        scenes = found.of(sensor)
        for start in range(0, len(scenes), PART):
            yield Part.of(number, tuple(scenes[start : start + PART]))
            number += 1


def _merge(known: _Rows, fresh: pa.Table) -> pa.Table:
    """The rows that still hold, and the fresh ones wherever there was none, in order."""
    held = [row for row in known if row is not None]
    if not held:
        return fresh
    positions = {True: iter(range(len(fresh))), False: iter(range(len(fresh), len(known)))}
    order = [next(positions[row is None]) for row in known]
    return pa.concat_tables([fresh, pa.Table.from_pylist(held, MEASURES)]).take(order)


def _result(
    table: Path, max_cloud: float, found: Measured, seen: Seen, doubts: tuple[str, ...]
) -> Screening:
    scenes = dataset1_size = dataset2_size = optical = 0
    for group in row_groups(table, [*RATIOS, "cloud_ratio"]):
        clear = dataset1(group)
        scenes += len(group)
        optical += int((np.asarray(group["sensor"]) == "Sentinel2").sum())
        dataset1_size += int(clear.sum())
        dataset2_size += int((clear & (np.asarray(group["cloud_ratio"]) <= max_cloud)).sum())
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
    )
