"""Test tiles -> member predictions.

In: a folder with Sentinel-1 tiles, and trained runs. Out, for each member: `predictions/<variant>/`
with one array a scene, `<scene>.npy`, uint16 [3, H, W] in R, G, B order, value / 65535 in [0, 1];
and a `manifest.json` that says which weights and tiles they are from, which pairs the weights were
trained on, and which engines drew them. `predictions/last.json` names the ensemble that `kit
package` takes by default. What is done already is not done again. Under torchrun each process draws
its share of the scenes.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kit.catalog import Rejection, Scene, catalog
from kit.console import Advance
from kit.engines.choose import choose
from kit.engines.engine import Tell
from kit.engines.samples import samples, size_of
from kit.errors import InputError
from kit.files import ENGINES, WORK, lock, write_json
from kit.group import join
from kit.job import Job
from kit.pipeline import Writer, readings
from kit.tiles import SceneKey
from kit.variants import members
from kit.weights import read_run
from kit.wish import Wish

# A process may have to wait long for the one with most left to do.
_PATIENCE = timedelta(days=7)
_ANY = Wish()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one `predict` did.

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
    data: Path,
    *,
    runs: Path,
    predictions: Path,
    work: Path = WORK,
    engines: Path = ENGINES,
    wish: Wish = _ANY,
    overwrite: bool = False,
    advance: Advance | None = None,
    tell: Tell = lambda _: None,
) -> Prediction:
    """Predict every radar scene under `data` with each member of the ensemble.

    Args:
        ensemble: a name of `variants.ENSEMBLES`, or runs as `spade4,spade2,p2phd1`.
        data: a folder with Sentinel-1 tiles.
        runs: the folder of trained runs.
        predictions: the folder to write to.
        work: the folder of the table of pairs; engines are tried on its hold-out.
        engines: the folder where built engines are kept.
        wish: which engine is wanted.
        overwrite: predict anew where predictions of other weights stand.
        advance: told (done, total) over all members, for this process's share.
        tell: takes a line about the engines.

    Raises:
        InputError: a member is not trained, `data` holds no complete and readable radar scene, or
            the engine asked for cannot be had.
        CheckError: an engine changes the MAE too much, or a picture is not made of numbers.
        BusyError: the folder holds predictions of other weights or other tiles.
    """
    names = members(ensemble)
    weights = [read_run(runs, name) for name in names]
    found = catalog(data.resolve())
    scenes = {scene.key: scene for scene in found.of("Sentinel1")}
    rejected = [item for item in found.rejected if not item.name.startswith("Sentinel2")]
    if not scenes:
        raise _nothing(data, rejected)
    with join(_PATIENCE) as group, ExitStack() as locks:
        jobs = [Job(predictions / member.variant.name, member, group.rank) for member in weights]

        def claim() -> None:
            for job in jobs:
                locks.enter_context(lock(job.folder))
                job.claim(scenes, data, runs, overwrite)

        group.alone(claim)
        share = slice(group.rank, None, group.size)
        missing = [job.open([*scenes], share) for job in jobs]
        total = sum(missing)
        # Before any begins, so that all have counted the same.
        group.any(False)
        if total and (size := size_of(scenes.values())):

            def engine(job: Job) -> None:
                every = [*scenes.values()]
                job.engine = choose(
                    job.weights,
                    size,
                    wish,
                    cache=engines,
                    samples=partial(samples, work, job.weights, size, every),
                    tell=tell if group.first else lambda _: None,
                    scenes=len(scenes),
                    before=job.manifest()["engines"],
                )

            for job in (job for job, count in zip(jobs, missing, strict=True) if count):
                # The first builds and measures, the others find what it has built.
                group.alone(partial(engine, job))
                group.each(partial(engine, job))
        group.each(lambda: _draw(jobs, scenes, advance))
        for job in jobs:
            group.alone(job.finish)
        manifests = [job.manifest() for job in jobs]
        left_out = manifests[0]["rejected"]
        rejected += [Rejection(each["name"], each["kind"], each["reason"]) for each in left_out]
        if not manifests[0]["scenes"]:
            raise _nothing(data, rejected)
        last = {
            "ensemble": ensemble,
            "members": list(names),
            "rejected": [{"name": item.name, "reason": item.reason} for item in rejected],
        }
        group.alone(lambda: write_json(predictions / "last.json", last))
    entries = manifests[0]["scenes"]
    done = total - len(left_out) * len(jobs)
    return Prediction(
        members=names,
        scenes=len(entries),
        done=done,
        skipped=len(entries) * len(jobs) - done,
        nodata={key: entry["nodata"] for key, entry in entries.items() if entry["nodata"]},
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
    with Writer() as writer:
        for scene, found in readings(todo):
            for job in jobs:
                if isinstance(found, InputError):
                    job.reject(scene, Rejection.unreadable(scene, found.brief))
                else:
                    done += job.take(found, writer)
            if advance:
                advance(done, total)
        for job in jobs:
            done += job.drain(writer)
    if advance and total:
        advance(done, total)


def _nothing(data: Path, rejected: Sequence[Rejection]) -> InputError:
    reasons = "; ".join(f"{item.name}: {item.reason}" for item in rejected[:3])
    problem = f"no complete Sentinel-1 scene ({reasons or 'no Sentinel-1 tile'})"
    return InputError(data, problem, "both VV and VH of a place and date are needed")
