"""What the host can do beside the networks: `make bench-predict`, or this file alone in a minute.

An engine that costs nothing stands in for the networks: it answers with the same made-up images
whatever it is given. Around it scenes of 256 x 256 are drawn, images are written, and `kit predict`
does all of it. Each has a plain twin or a limit of the machine that takes turns with it in one run.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from process import child, device, timed
from report import report, row

import kit.prediction.predict
from kit.engines.accuracy import REFERENCE
from kit.engines.backend import Plan, Spec
from kit.engines.cache import Measurement
from kit.engines.engine import Engine
from kit.machine.cores import share_cores
from kit.models.infer import infer_batches
from kit.models.registry import build_generator
from kit.prediction.batches import Batches
from kit.prediction.pipeline import Input, Reading
from kit.prediction.predict import predict
from kit.prediction.writer import Writer
from kit.runs.weights import Weights, save_weights
from kit.scaling import quantize
from kit.simulation.simulate import simulate
from kit.storage.image_file import digest
from kit.tiles.names import SceneKey, TileName
from kit.tiles.scenes import Scene
from kit.variants.registry import find_variant

SIDE = 256
BATCH = 4
SCENES = 512
ROUNDS = 3


class Free:
    """A backend whose network costs nothing."""

    def __getattr__(self, name: str) -> Callable[..., str]:
        return lambda *_: "free"

    def load(self, folder: Path, spec: Spec, plan: Plan, generator: object) -> Any:
        """Made-up images [batch, 3, H, W] in [-1, 1], the same at each call."""
        images = torch.rand(plan.batch, 3, spec.height, spec.width) * 2 - 1
        return lambda _: images


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, help="on the disk that is measured")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        rows = host(Path(folder), chosen.rounds)
    report(f"The host on {device()}", rows, Path(__file__), decimals=0)


def host(root: Path, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Rows of drawing, writing, and both with reading, measured in a process like that of `kit`."""
    share_cores()  # for that process; torch is loaded here already
    with child(measure, root / "host", rounds) as of:
        rows: list[dict[str, Any]] = of.recv()
    return rows


def measure(told: Connection, root: Path, rounds: int) -> None:
    """A child: measure all."""
    root.mkdir()
    told.send([*drawing(rounds), *writing(root, rounds), *whole(root, rounds)])


def engine(weights: Weights) -> Engine:
    """The engine that costs nothing."""
    measured = Measurement(Plan(BATCH), 1.0, REFERENCE)
    backend: Any = Free()
    return Engine("free", backend, Spec("float32", SIDE, SIDE), Path(), measured, weights)


def drawing(rounds: int) -> list[dict[str, Any]]:
    """Scenes to levels around an engine: as the kit does it, and plainly in numpy."""
    random = np.random.default_rng(0)
    inputs = [Input(random.random((2, SIDE, SIDE), dtype=np.float32), {}) for _ in range(4 * BATCH)]
    counts = np.zeros(7, np.int64)
    scene = Scene("Sentinel1", SceneKey("0", "0", date(2020, 1, 1)), ())
    scenes = [Reading(scene, each.planes, 0, counts) for each in inputs]
    weights = Weights(Path(), find_variant("spade2"), {}, "", dict)
    batches = Batches(weights)
    batches.engine = engine(weights)

    def ours() -> None:
        for number in range(SCENES):
            batches.add(scenes[number % len(scenes)], inputs[number % len(inputs)])
        batches.flush()

    def plainly() -> None:
        for number in range(0, SCENES, BATCH):
            start = number % len(inputs)
            plain_levels(batches.engine, [each.planes for each in inputs[start : start + BATCH]])

    plain, kit = turns((plainly, ours), rounds)
    return [
        row("host: draw, plainly in numpy", rate(plain), "scenes/s", 1.0, "itself"),
        row("host: draw", rate(kit), "scenes/s", share(plain, kit), "plain"),
    ]


def plain_levels(network: Any, planes: Sequence[NDArray[np.float32]]) -> NDArray[np.uint16]:
    """What `draw` did in numpy up to version 0.5.0."""
    images = infer_batches(network, np.stack(planes), BATCH)
    assert np.isfinite(images).all()
    return quantize(images)


def writing(root: Path, rounds: int) -> list[dict[str, Any]]:
    """Images to files that are on disk, beside their bytes in one file that is synced once."""
    random = np.random.default_rng(0)
    image = random.integers(0, 2**16, (3, SIDE, SIDE), dtype=np.uint16)

    def stream() -> None:
        with (root / "stream").open("wb") as file:
            for _ in range(SCENES):
                file.write(image.data)
            file.flush()
            os.fsync(file.fileno())

    def ours() -> None:
        with Writer() as writer:
            for number in range(SCENES):
                writer.put(root / "images" / f"{number}.npy", image, lambda _: None)

    def clear() -> None:
        (root / "stream").unlink(missing_ok=True)
        shutil.rmtree(root / "images", ignore_errors=True)
        os.sync()

    one_file, many = turns((stream, ours), rounds, clear)
    hashed = [timed(lambda: [digest(image) for _ in range(SCENES)]) for _ in range(rounds)]
    return [
        row("host: the disk, one file synced once", rate(one_file), "images/s", 1.0, "itself"),
        row("host: checksums, one thread", rate(hashed), "images/s",
            min(one_file) / min(hashed), "the disk"),
        row("host: write", rate(many), "images/s", share(one_file, many), "the disk"),
    ]  # fmt: skip


def whole(root: Path, rounds: int) -> list[dict[str, Any]]:
    """`kit predict` with the engine that costs nothing, from tiles to files."""
    test = scenes(root)
    variant = find_variant("p2phd1", ["width=4"])
    facts = {"mean_color": [0.2, 0.2, 0.2]}
    runs = root / "runs"
    save_weights(runs / "p2phd1/weights.safetensors", build_generator(variant), variant, facts)

    def free(weights: Weights, *_: object, **__: object) -> Engine:
        return engine(weights)

    def ours() -> None:
        with patch.object(kit.prediction.predict, "choose", free):
            predict("p2phd1", test, runs=runs, predictions=root / "predictions", work=root / "none")

    seconds = []
    for _ in range(rounds):
        shutil.rmtree(root / "predictions", ignore_errors=True)
        os.sync()
        seconds.append(timed(ours))
    return [row("host: kit predict", rate(seconds), "scenes/s", 1.0, "itself")]


def scenes(root: Path) -> Path:
    """A folder of simulated radar scenes; a few, each under many dates."""
    made = simulate(root / "world", places=1, test_places=8, dates=1, size=SIDE).test
    test = root / "test"
    test.mkdir()
    tiles = [(path, TileName.parse(path.name)) for path in sorted(made.rglob("*.tiff"))]
    for day in range(SCENES * 2 // len(tiles)):
        for path, name in tiles:
            scene = replace(name.scene, date=name.scene.date + timedelta(days=day))
            os.link(path, test / str(replace(name, scene=scene)))
    return test


def turns(
    calls: Sequence[Callable[[], object]], rounds: int, clear: Callable[[], object] = lambda: None
) -> list[list[float]]:
    """The seconds of each call in every round but the first."""
    found = []
    for _ in range(rounds + 1):
        seconds = []
        for call in calls:
            clear()
            seconds.append(timed(call))
        found.append(seconds)
    return [list(each) for each in zip(*found[1:], strict=True)]


def rate(seconds: Sequence[float]) -> float:
    """Scenes a second in the best of some turns."""
    return SCENES / min(seconds)


def share(limit: Sequence[float], seconds: Sequence[float]) -> float:
    """The rate relative to that of another, the median over turns."""
    return statistics.median(one / other for one, other in zip(limit, seconds, strict=True))


if __name__ == "__main__":
    main()
