"""Test tiles -> member predictions.

In: a folder with Sentinel-1 tiles, and trained runs. Out, for each member: `predictions/<variant>/`
with one array a scene, `<scene>.npy`, uint16 [3, H, W] in R, G, B order, value / 65535 in [0, 1];
and a `manifest.json` that says which weights and tiles they are from, which pairs the weights were
trained on, and which engines drew them. `predictions/last.json` names the ensemble that `kit
package` takes by default. What is done already is not done again. Under torchrun each process draws
its share of the scenes.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kit.distributed import Group, join, restarted
from kit.engines.calibration import samples
from kit.engines.choose import candidates, choose
from kit.engines.request import Request
from kit.errors import InputError
from kit.files import ENGINES, PREDICTIONS, RUNS, WORK, AnyPath, json_sha256, lock, write_json
from kit.prediction.member_job import Job
from kit.prediction.pipeline import AHEAD, Writer, readings
from kit.progress import Advance, Report
from kit.runs.weights import read_run
from kit.tiles.bands import first_size
from kit.tiles.catalog import catalog
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene
from kit.variants import ensemble_members

# A process may have to wait long for the one with most left to do.
_PATIENCE = timedelta(days=7)
_ANY = Request()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one `predict` did.

    `scenes` were drawn by every member, now or before; `done` and `skipped` count pictures that
    were made now and that were there.
    `nodata` maps each scene whose radar holds nodata to its share; such pixels were taken for
    lowest backscatter, so that the output is finite. `rejected` was not predicted. `engines` are
    what drew each member.
    """

    members: tuple[str, ...]
    scenes: int
    done: int
    skipped: int
    nodata: dict[str, float]
    rejected: tuple[Rejection, ...]
    engines: dict[str, list[dict[str, Any]]]


def predict(
    ensemble: str,
    data: AnyPath,
    *,
    runs: AnyPath = RUNS,
    predictions: AnyPath = PREDICTIONS,
    work: AnyPath = WORK,
    engines: AnyPath = ENGINES,
    request: Request = _ANY,
    overwrite: bool = False,
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> Prediction:
    """Predict every radar scene under `data` with each member of the ensemble.

    Args:
        ensemble: a name of `variants.ENSEMBLES`, or runs as `spade4,spade2,p2phd1`.
        data: a folder with Sentinel-1 tiles.
        runs: the folder of trained runs.
        predictions: the folder to write to.
        work: the folder of the table of pairs; engines are tried on its hold-out.
        engines: the folder where built engines are kept.
        request: which engine is wanted.
        overwrite: predict anew where predictions of other weights stand.
        advance: told (done, total) over all members, for this process's share.
        report: takes a line about the engines.

    Raises:
        InputError: a member is not trained, `data` holds no complete and readable radar scene, or
            the engine asked for cannot be had.
        CheckError: an engine changes the MAE too much, or a picture is not made of numbers.
        BusyError: the folder holds predictions of other weights or other tiles.
    """
    data, runs, predictions, work, engines = map(Path, (data, runs, predictions, work, engines))
    names = ensemble_members(ensemble)
    candidates(request)  # a request that cannot be met is named though nothing is left to draw
    weights = [read_run(runs, name) for name in names]
    found = catalog(data.resolve())
    scenes = {scene.key: scene for scene in found.of("Sentinel1")}
    rejected = [item for item in found.rejected if not item.name.startswith("Sentinel2")]
    if not scenes:
        raise _nothing(data, rejected)
    with join(_PATIENCE) as group, ExitStack() as locks:
        group.each(lambda: _compare(group, data, scenes))
        jobs = [
            Job(predictions / member.variant.name, member, group.rank, report) for member in weights
        ]

        def claim() -> None:
            for job in jobs:
                locks.enter_context(lock(job.folder, restarted()))
                job.claim(scenes, data, runs, overwrite and not restarted())

        group.alone(claim)
        # The first looks, because another machine may see the folder as it was a while ago.
        undone = [group.same([job.lacks(key) for key in scenes]) for job in jobs]
        total = sum(map(sum, undone))
        some = [key for key, *lacks in zip(scenes, *undone, strict=True) if any(lacks)]
        share = set(some[group.rank :: group.size])
        for job, lacks in zip(jobs, undone, strict=True):
            job.todo = {key for key, lack in zip(scenes, lacks, strict=True) if lack} & share
        height, width = group.same(
            (total and first_size(scene.files[0] for scene in scenes.values())) or (0, 0)
        )
        if height:
            size = height, width

            def engine(job: Job) -> None:
                every = [*scenes.values()]
                job.engine = choose(
                    job.weights,
                    size,
                    request,
                    cache=engines,
                    samples=partial(samples, work, job.weights, size, every),
                    report=report if group.first else lambda _: None,
                    scenes=len(scenes),
                    before=job.manifest()["engines"],
                )

            for job in (job for job, lacks in zip(jobs, undone, strict=True) if any(lacks)):
                # The first builds and measures, the others find what it has built.
                group.alone(partial(engine, job))
                group.each(partial(engine, job) if job.engine is None else lambda: None)
        group.each(lambda: _draw(jobs, scenes, advance))
        for job in jobs:
            group.alone(job.finish)
        manifests = [job.manifest() for job in jobs]
        left_out = [each for manifest in manifests for each in manifest["rejected"]]
        once = {each["scene"]: each for each in left_out}.values()
        rejected += [Rejection(each["name"], each["kind"], each["reason"]) for each in once]
        nodata = {
            key: entry["nodata"]
            for key, entry in manifests[0]["scenes"].items()
            if all(key in manifest["scenes"] for manifest in manifests)
        }
        if not nodata:
            raise _nothing(data, rejected)
        last = {
            "ensemble": ensemble,
            "members": list(names),
            "rejected": [{"name": item.name, "reason": item.reason} for item in rejected],
        }
        group.alone(lambda: write_json(predictions / "last.json", last))
    done = total - len(left_out)
    return Prediction(
        members=names,
        scenes=len(nodata),
        done=done,
        skipped=sum(len(manifest["scenes"]) for manifest in manifests) - done,
        nodata={key: share for key, share in nodata.items() if share},
        rejected=tuple(rejected),
        engines={
            name: manifest["engines"] for name, manifest in zip(names, manifests, strict=True)
        },
    )


def _draw(jobs: Sequence[Job], scenes: dict[SceneKey, Scene], advance: Advance | None) -> None:
    """Draw what is this process's to do: each scene is read once, for all members."""
    todo = [scene for key, scene in scenes.items() if any(key in job.todo for job in jobs)]
    total = sum(len(job.todo) for job in jobs)
    done = 0
    # While a batch is drawn the next is read and the one before is written.
    ahead = max([AHEAD, *(2 * job.engine.batch for job in jobs if job.engine)])
    with Writer(ahead) as writer, closing(readings(todo, ahead)) as found_scenes:
        for scene, found in found_scenes:
            for job in jobs:
                if isinstance(found, InputError):
                    job.reject(scene, scene.unreadable(found.brief))
                else:
                    done += job.take(found, writer)
            if advance:
                advance(done, total)
        for job in jobs:
            done += job.drain(writer)
    if advance and total:
        advance(done, total)


def _compare(group: Group, data: Path, scenes: Mapping[SceneKey, Scene]) -> None:
    """Refuse tiles that are not those of the first process, on a machine of its own maybe."""
    digest = int(json_sha256([*map(str, scenes)])[:15], 16)
    if group.same([digest]) != [digest]:
        problem = "holds other scenes here than where the first process runs"
        raise InputError(data, problem, remedy="give all machines the same tiles")


def _nothing(data: Path, rejected: Sequence[Rejection]) -> InputError:
    reasons = "; ".join(f"{item.name}: {item.reason}" for item in rejected[:3])
    problem = f"no complete Sentinel-1 scene ({reasons or 'no Sentinel-1 tile'})"
    return InputError(data, problem, remedy="both VV and VH of a place and date are needed")
