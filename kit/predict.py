"""Test tiles -> member predictions.

In: a folder with Sentinel-1 tiles, and trained runs. Out, for each member: `predictions/<variant>/`
with one array a scene, `<scene>.npy`, uint16 [3, H, W] in R, G, B order, value / 65535 in [0, 1];
and a `manifest.json` that says which weights and tiles they are from, which pairs the weights were
trained on, and what ran them. `predictions/last.json` names the ensemble that `kit package` takes
by default. What is done already is not done again.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kit.catalog import Rejection, Scene, catalog
from kit.console import Advance
from kit.device import pick, place
from kit.errors import BusyError, CheckError, InputError
from kit.files import lock, read_json, write_bytes, write_json
from kit.netcdf import file_of
from kit.nodata import radar_nodata
from kit.scaling import SCALING, scale_radar
from kit.tiles import SceneKey, read_scene
from kit.validate import infer
from kit.variants import members, to_dict
from kit.weights import Weights, load_run

BATCH = 4
LEVELS = 65535


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one `predict` did.

    `nodata` maps each scene whose radar holds nodata to its share; such pixels were taken for
    lowest backscatter, so that the output is finite. `rejected` was not predicted.
    """

    members: tuple[str, ...]
    scenes: int
    done: int
    skipped: int
    nodata: dict[str, float]
    rejected: tuple[Rejection, ...]


def predict(
    ensemble: str,
    data: Path,
    *,
    runs: Path,
    predictions: Path,
    overwrite: bool = False,
    advance: Advance | None = None,
) -> Prediction:
    """Predict every radar scene under `data` with each member of the ensemble.

    Args:
        ensemble: a name of `variants.ENSEMBLES`, or runs as `spade4,spade2,p2phd1`.
        data: a folder with Sentinel-1 tiles.
        runs: the folder of trained runs.
        predictions: the folder to write to.
        overwrite: predict anew where predictions of other weights stand.
        advance: told (done, total) over all members.

    Raises:
        InputError: a member is not trained, or `data` holds no complete and readable radar scene.
        BusyError: the folder holds predictions of other weights or other tiles.
    """
    names = members(ensemble)
    weights = [load_run(runs, name) for name in names]
    found = catalog(data.resolve())
    scenes = {scene.key: scene for scene in found.of("Sentinel1")}
    rejected = [item for item in found.rejected if not item.name.startswith("Sentinel2")]
    if not scenes:
        raise _nothing(data, rejected)
    with ExitStack() as locks:
        jobs = []
        for member in weights:
            folder = predictions / member.variant.name
            locks.enter_context(lock(folder))
            pairs = _trained_on(runs, member)
            jobs.append(_Job.claim(folder, member, pairs, scenes, data, overwrite))
        todo = [scene for key, scene in scenes.items() if any(key in job.todo for job in jobs)]
        total = sum(len(job.todo) for job in jobs)
        done = 0
        for keys, radar, nodata in _read(todo, rejected):
            for job in jobs:
                done += job.run(keys, radar, nodata)
                if advance:
                    advance(done, total)
        for job in jobs:
            job.finish()
    if not jobs[0].scenes:
        raise _nothing(data, rejected)
    left_out = [{"name": item.name, "reason": item.reason} for item in rejected]
    last = {"ensemble": ensemble, "members": list(names), "rejected": left_out}
    write_json(predictions / "last.json", last)
    return Prediction(
        members=names,
        scenes=len(jobs[0].scenes),
        done=done,
        skipped=sum(len(job.scenes) for job in jobs) - done,
        nodata={key: entry["nodata"] for key, entry in jobs[0].scenes.items() if entry["nodata"]},
        rejected=tuple(rejected),
    )


@dataclass
class _Job:
    """The part of one member: its folder, what its manifest says, and the scenes still to do."""

    folder: Path
    generator: nn.Module
    manifest: dict[str, Any]
    todo: set[SceneKey]

    @property
    def scenes(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each scene: the tiles it came from, and its share of nodata."""
        scenes: dict[str, dict[str, Any]] = self.manifest["scenes"]
        return scenes

    @classmethod
    def claim(
        cls,
        folder: Path,
        weights: Weights,
        pairs_sha256: str | None,
        scenes: dict[SceneKey, Scene],
        data: Path,
        overwrite: bool,
    ) -> "_Job":
        """Find what is done already; refuse a folder with predictions of other weights or tiles."""
        path = folder / "manifest.json"
        old = {} if overwrite or not path.exists() else read_json(path, "predict with --overwrite")
        facts = {
            "variant": weights.variant.name,
            "weights_sha256": weights.sha256,
            "pairs_sha256": pairs_sha256,
            "config": to_dict(weights.variant),
            "scaling": SCALING,
            "target": weights.variant.target,
            "mean_color": list(weights.facts["mean_color"]),
            "input": str(data.resolve()),
        }
        for name in ("weights_sha256", "input") if old else ():
            if old.get(name) != facts[name]:
                other = {"weights_sha256": "by other weights", "input": f"of {old.get('input')}"}
                remedy = "give --overwrite, or another folder with --predictions"
                raise BusyError(f"{folder}: holds predictions {other[name]}\n  {remedy}")
        before = old.get("scenes", {})
        entries = {
            str(key): {"tiles": _fingerprint(scene), "nodata": 0.0} for key, scene in scenes.items()
        }
        todo = set()
        for key in scenes:
            entry, image = before.get(str(key)), folder / f"{key}.npy"
            if image.exists() and entry and entry["tiles"] == entries[str(key)]["tiles"]:
                entries[str(key)] = entry
            else:
                # An array of other tiles must be gone before the manifest claims it for these.
                image.unlink(missing_ok=True)
                todo.add(key)
        # Those of before made what is not done again; older kits did not say which they were.
        engines = old.get("engines", [{"name": "unknown"}] if before else [])
        if todo and (engine := _engine()) not in engines:
            engines = [*engines, engine]
        generator = place(weights.generator)
        job = cls(folder, generator, facts | {"engines": engines, "scenes": entries}, todo)
        write_json(path, job.manifest)
        return job

    def run(
        self, keys: Sequence[SceneKey], radar: NDArray[np.float32], nodata: Sequence[float]
    ) -> int:
        """Predict those scenes of a batch that are still to do; returns how many that were."""
        mine = [index for index, key in enumerate(keys) if key in self.todo]
        if not mine:
            return 0
        # The last digits of a convolution depend on the size of its batch: always a full one gives
        # the same bytes however the work was cut in parts.
        full = radar[np.resize(mine, BATCH)]
        rgb = infer(self.generator, full)
        if not np.isfinite(rgb).all():
            raise CheckError(f"{self.folder}: the generator's output is not a number\n"
                             f"  train {self.folder.name} again, with a smaller lr")  # fmt: skip
        images = np.rint(rgb * LEVELS).astype(np.uint16)
        for index, image in zip(mine, images, strict=False):
            data = io.BytesIO()
            np.save(data, image, allow_pickle=False)
            write_bytes(self.folder / f"{keys[index]}.npy", data.getvalue())
            self.scenes[str(keys[index])]["nodata"] = nodata[index]
            self.todo.discard(keys[index])
        return len(mine)

    def finish(self) -> None:
        """Take the scenes that could not be read out of the manifest, and write it."""
        for key in self.todo:
            del self.scenes[str(key)]
        write_json(self.folder / "manifest.json", self.manifest)


def _trained_on(runs: Path, weights: Weights) -> str | None:
    """The fingerprint of the pairs that the weights were trained on; None if nothing says it."""
    path = runs / weights.variant.name / "config.json"
    config = read_json(path, "restore it, or remove it") if path.exists() else {}
    found = config.get("pairs_sha256") if isinstance(config, dict) else None
    return found if isinstance(found, str) else None


def _engine() -> dict[str, str]:
    """What runs the generator in `kit.validate.infer`: the last digits may depend on all of it."""
    if pick().type == "cuda":
        # Torch lets convolutions, though not matrix products, round to TF32 unless told otherwise.
        precision = "tf32" if torch.backends.cudnn.allow_tf32 else "float32"
        device = torch.cuda.get_device_name()
    else:
        device, precision = f"CPU, {torch.backends.cpu.get_cpu_capability()}", "float32"
    return {
        "name": "torch eager",
        "version": torch.__version__,
        "device": device,
        "precision": precision,
        "gate": "none: this is the reference that others have to equal",
    }


def _read(
    scenes: Sequence[Scene], rejected: list[Rejection]
) -> Iterator[tuple[list[SceneKey], NDArray[np.float32], list[float]]]:
    """Batches of equal size: keys, radar [N, 2, H, W] in [0, 1], share of nodata of each."""
    keys: list[SceneKey] = []
    radars: list[NDArray[np.float32]] = []
    nodata: list[float] = []
    for scene in scenes:
        try:
            sar = read_scene("Sentinel1", scene.paths)
        except InputError as error:
            rejected.append(Rejection.unreadable(scene, error.brief))
            continue
        if keys and (len(keys) == BATCH or sar.shape != radars[0].shape):
            yield keys, np.stack(radars), nodata
            keys, radars, nodata = [], [], []
        keys.append(scene.key)
        radars.append(scale_radar(sar))
        nodata.append(float(radar_nodata(sar).mean()))
    if keys:
        yield keys, np.stack(radars), nodata


def _fingerprint(scene: Scene) -> list[list[int]]:
    found = [os.stat(file_of(file)) for file in scene.files]
    return [[status.st_size, status.st_mtime_ns] for status in found]


def _nothing(data: Path, rejected: Sequence[Rejection]) -> InputError:
    reasons = "; ".join(f"{item.name}: {item.reason}" for item in rejected[:3])
    problem = f"no complete Sentinel-1 scene ({reasons or 'no Sentinel-1 tile'})"
    return InputError(data, problem, "both VV and VH of a place and date are needed")
