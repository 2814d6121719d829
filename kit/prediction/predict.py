"""Test tiles -> member predictions.

In: a folder with Sentinel-1 tiles, and trained runs. Out, for each member: `predictions/<variant>/`
with one image a scene, `<scene>.npy`, and a `manifest.json` that names the weights, the tiles, the
pairs that the weights were trained on, and the engines. `predictions/last.json` names the ensemble
that `kit package` takes by default. Scenes that are predicted already are skipped. Under torchrun
each process predicts its share of the scenes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kit.doubt import Doubt, Units, settle
from kit.engines.calibration import pairs_digest, samples
from kit.engines.choose import choose
from kit.engines.engine import Engine
from kit.engines.request import AUTO, Request
from kit.errors import InputError
from kit.machine.device import unreached
from kit.machine.distributed import ProcessGroup, process_group, restarted
from kit.machine.parent import patience
from kit.models.flips import check_flips
from kit.prediction.dates import dates_line
from kit.prediction.last import write_last
from kit.prediction.look import look
from kit.prediction.member_job import MemberJob
from kit.prediction.pipeline import AHEAD, readings
from kit.prediction.scenes import Given, find_scenes, no_scene
from kit.prediction.trained_members import read_trained_members
from kit.prediction.writer import AHEAD as IMAGES_AHEAD
from kit.prediction.writer import Writer
from kit.progress import Advance, Report
from kit.runs.planes import planes_for_scenes
from kit.storage.files import ENGINES, FITTED, PREDICTIONS, RUNS, WORK, AnyPath
from kit.storage.lock import lock
from kit.tiles.bands import usual_size
from kit.tiles.extent import first_side
from kit.tiles.float16 import float16_doubts
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene
from kit.tiles.units import RadarWatch, radar_doubts, stack

# A process may wait long for the one that has most scenes to predict.
_PATIENCE = timedelta(days=7)
_ANY = Request()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one `predict` did."""

    members: tuple[str, ...]
    """The runs of the ensemble: of a variant that was trained in folds all of these."""
    scenes: int
    """Scenes that every member has predicted, now or before."""
    done: int
    """Images, over all members, that were predicted now."""
    skipped: int
    """Images that were there already."""
    nodata: dict[str, float]
    """Each scene whose radar holds nodata, and the share of such pixels: they are taken for lowest
    backscatter, so that the output is finite."""
    rejected: tuple[Rejection, ...]
    """Tiles and scenes that were left out."""
    engines: dict[str, list[dict[str, Any]]]
    """For each member `Engine.describe` of every engine that predicted a scene of it."""
    trained_on: dict[str, tuple[str, ...]]
    """For each member that has seen some of the scenes in training, which."""
    flips: int = 1
    """How many views of a scene were averaged."""
    doubts: tuple[str, ...] = ()
    """Lines about the units of all scenes, whether they were predicted now or before."""


def predict(
    ensemble: str,
    data: AnyPath,
    *,
    runs: AnyPath = RUNS,
    predictions: AnyPath = PREDICTIONS,
    work: AnyPath = WORK,
    engines: AnyPath = ENGINES,
    ensembles: AnyPath = FITTED,
    request: Request = _ANY,
    flips: int = 1,
    source: str | None = None,
    radar_unit: str | None = None,
    units: Units = "check",
    overwrite: bool = False,
    advance: Advance | None = None,
    report: Report = lambda _: None,
    on_size: Callable[[int, int], None] = lambda height, width: None,
) -> Prediction:
    """Predict every radar scene under `data` with each member of the ensemble.

    Args:
        ensemble: a name of `variants.ENSEMBLES`, one that was fitted, or runs as
            `spade4,spade2,p2phd1`; a variant that was trained in folds stands for all of them.
        data: a folder with Sentinel-1 tiles; or with radar images of another layout, which become
            tiles in `work/inputs/` first.
        runs: the folder of trained runs.
        predictions: the folder to write to.
        work: the folder of the table of pairs; engines are checked on its hold-out, and priors are
            those of its training pairs.
        engines: the folder of built engines.
        ensembles: the folder of fitted ensembles.
        request: which engine to use.
        flips: average the images of so many views of each scene: 1, 4 (mirrored along either axis
            or both) or 8 (and turned by a quarter too). It takes as many times as long.
        source: the layout of `data`, see `kit.sources`; None to find it out.
        radar_unit: the unit of its radar images, if not what its source says.
        units: what becomes of doubts about the units of tiles; "strict" reads all of them first.
        overwrite: replace predictions by other weights, of other tiles or of another number of
            views, when all are made.
        advance: called with (done, total) over all members, for this process's share.
        report: takes a line about the engines.
        on_size: called with the height and width of most tiles, before anything is predicted.

    Raises:
        InputError: a member is not trained, `data` holds no complete and readable radar scene, no
            engine meets the request, `flips` is another number, or tiles do not hold dB.
        CheckError: an engine changes the MAE too much, or an output is not finite.
        BusyError: the folder holds predictions by other weights, of other tiles, or of another
            number of views.
    """
    check_flips(flips)
    data, runs, predictions, work, engines = map(Path, (data, runs, predictions, work, engines))
    members = read_trained_members(ensemble, runs, Path(ensembles), request, report)
    with process_group(_PATIENCE) as group, ExitStack() as locks:
        given = Given(data, source, radar_unit)
        found = find_scenes(group, given, work, members.weights, units, advance, report)
        data, scenes, rejected = found.data, found.scenes, [*found.rejected]
        files = [scene.files[0] for scene in scenes.values()]
        if size := usual_size(files):
            on_size(*size)
        look(group, data, scenes, units)
        jobs = []
        for member in members.weights:
            run, radar = member.path.parent, scenes.values()
            planes = planes_for_scenes(run, member.variant, work, radar)
            folder = predictions / member.variant.name
            jobs.append(MemberJob(folder, member, planes, group.rank, flips, report))

        def claim() -> None:
            side = first_side(files, size)
            for job in jobs:
                locks.enter_context(lock(job.folder, restarted(), patience()))
                job.claim(scenes, side, data, runs, overwrite, restarted())
                if job.is_staged:  # with this lock it takes its place
                    locks.enter_context(lock(job.at))

        def choose_engine(job: MemberJob, size: tuple[int, int]) -> Engine:
            return choose(
                job.weights,
                size,
                request,
                cache=engines,
                samples=partial(samples, work, job.weights, size, [*scenes.values()]),
                report=report if group.is_main else lambda _: None,
                scenes=len(scenes) * flips,
                before=_chosen_before(job),
                pairs=pairs_digest(work),
            )

        group.on_main(claim)
        for job, staged in zip(jobs, group.broadcast([job.is_staged for job in jobs]), strict=True):
            job.stage(bool(staged))
        missing = _share(group, jobs, scenes)
        unfinished = [job for job, count in zip(jobs, missing, strict=True) if count]
        if group.is_main:
            if unfinished and (line := unreached()):
                report(line)
            for job in jobs:
                if line := _other_engine(job, request):
                    report(line)
        _set_engines(group, unfinished, size, choose_engine)
        watch = RadarWatch(data, units)
        group.on_all(lambda: _infer(jobs, scenes, watch, advance))
        for job in jobs:
            group.on_main(job.finish)
            if group.is_main and (line := dates_line(job.manifest())):
                report(line)
        result = _result(members.names, jobs, rejected, sum(missing))
        doubts = group.on_all(lambda: settle(data, _doubts(jobs), units))
        for job in jobs:
            group.on_main(job.take_place if result.scenes else job.discard)
            job.stage(False)
        if not result.scenes:
            raise no_scene(data, result.rejected)
        group.on_main(
            lambda: write_last(predictions, ensemble, members.ensemble.members, result.rejected)
        )
    return replace(result, doubts=(*found.doubts, *doubts))


def _share(
    group: ProcessGroup, jobs: Sequence[MemberJob], scenes: Mapping[SceneKey, Scene]
) -> list[int]:
    """Give this process its share of the scenes; returns how many each job lacks, over all."""
    # The first process looks: another machine may see the folder as it was a moment ago.
    missing = [group.broadcast([job.is_missing(key) for key in scenes]) for job in jobs]
    incomplete = [key for key, *flags in zip(scenes, *missing, strict=True) if any(flags)]
    share = set(incomplete[group.rank :: group.world_size])
    for job, flags in zip(jobs, missing, strict=True):
        job.todo = {key for key, flag in zip(scenes, flags, strict=True) if flag} & share
    return [sum(flags) for flags in missing]


def _set_engines(
    group: ProcessGroup,
    jobs: Sequence[MemberJob],
    size: tuple[int, int] | None,
    choose_engine: Callable[[MemberJob, tuple[int, int]], Engine],
) -> None:
    """Give each job that lacks a scene its engine, for tiles of this size."""
    height, width = group.broadcast(size or (0, 0))
    if not height:
        return

    def set_engine(job: MemberJob) -> None:
        if job.batches.engine is None:
            job.batches.engine = choose_engine(job, (height, width))

    for job in jobs:
        # The first process builds and measures, the others find what it has built.
        group.on_main(partial(set_engine, job))
        group.on_all(partial(set_engine, job))


def _chosen_before(job: MemberJob) -> list[dict[str, Any]]:
    """The engines that were chosen for scenes of a job, without those for a rare size."""
    used = job.manifest().engines or []
    return [each for each in used if each.get("name") != "eager"] or used


def _other_engine(job: MemberJob, request: Request) -> str:
    """That images which are there are by another engine than the one that is asked for by name."""
    engines = job.manifest().engines or []
    asked = [each for each in (request.backend, request.precision) if each != AUTO]
    if request.fallback or job.weights.variant.is_fitted or not (engines and asked):
        return ""
    if any({*asked} <= {each.get("name"), each.get("precision")} for each in engines):
        return ""
    there = " and ".join(f"{each.get('name')} in {each.get('precision')}" for each in engines)
    wanted = " in ".join(asked)
    return f"warning: {job.folder} holds images by {there}; --overwrite predicts all by {wanted}"


def _infer(
    jobs: Sequence[MemberJob],
    scenes: Mapping[SceneKey, Scene],
    watch: RadarWatch,
    advance: Advance | None,
) -> None:
    """Predict this process's share: each scene is read once, for all members."""
    todo = [scene for key, scene in scenes.items() if any(key in job.todo for job in jobs)]
    total = sum(len(job.todo) for job in jobs)
    done = 0
    # While a batch is predicted, the next is read and the one before is written.
    engines = [job.batches.engine for job in jobs]
    ahead = max([AHEAD, *(2 * engine.batch for engine in engines if engine)])
    planes = [job.planes for job in jobs]
    with (
        Writer(max(IMAGES_AHEAD, ahead)) as writer,
        closing(readings(todo, ahead, planes)) as found_scenes,
    ):
        for scene, found in found_scenes:
            if not isinstance(found, InputError):
                watch.add(found.values)
            for number, job in enumerate(jobs):
                if isinstance(found, InputError):
                    job.reject(scene, scene.unreadable(found.brief))
                else:
                    done += job.add(found, found.inputs[number], writer)
            if advance:
                advance(done, total)
        for job in jobs:
            done += job.flush(writer)
    if advance and total:
        advance(done, total)


def _result(
    names: tuple[str, ...],
    jobs: Sequence[MemberJob],
    rejected: Sequence[Rejection],
    missing: int,
) -> Prediction:
    """What the manifests record, after all jobs, where `missing` images were to be predicted."""
    manifests = [job.manifest() for job in jobs]
    left_out = [item for manifest in manifests for item in manifest.rejected]
    once = {item["scene"]: item for item in left_out}.values()
    nodata = {
        key: entry["nodata"]
        for key, entry in manifests[0].scenes.items()
        if all(key in manifest.scenes for manifest in manifests)
    }
    done = missing - len(left_out)
    return Prediction(
        members=names,
        scenes=len(nodata),
        done=done,
        skipped=sum(len(manifest.scenes) for manifest in manifests) - done,
        nodata={key: share for key, share in nodata.items() if share},
        rejected=(
            *rejected,
            *(Rejection(item["name"], item["kind"], item["reason"]) for item in once),
        ),
        engines={
            name: manifest.engines or [] for name, manifest in zip(names, manifests, strict=True)
        },
        flips=manifests[0].flips,
        trained_on={
            name: tuple(manifest.trained_on)
            for name, manifest in zip(names, manifests, strict=True)
            if manifest.trained_on
        },
    )


def _doubts(jobs: Sequence[MemberJob]) -> list[Doubt]:
    """What speaks against the radar of all scenes, by what the manifests say of each.

    Of a scene that a kit before 0.4.0 predicted no values are known.
    """
    scenes: dict[str, dict[str, Any]] = {}
    for job in jobs:
        scenes |= job.manifest().scenes
    known = [np.array([each["values"]], np.int64) for each in scenes.values() if "values" in each]
    float16 = sum(bool(each.get("float16")) for each in scenes.values())
    return [*radar_doubts(stack(known)), *float16_doubts({"radar": (float16, len(scenes))})]
