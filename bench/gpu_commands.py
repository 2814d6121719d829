"""What needs processes of its own on a card: the tests that ask for one, and the commands.

Each function is a section of bench/gpu_check.py.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gpu_steps import Facts, Sizes
from process import timed

_PATIENCE = 60  # seconds


def tests(sizes: Sizes) -> Facts:
    """The tests that need a CUDA device: counting clouds, engines."""
    import rasterio  # noqa: F401  # with which all tests are collected

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "tests"],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    return {"exit code": done.returncode, "last lines": lines[-12:]}


def commands(sizes: Sizes) -> Facts:
    """From simulated tiles to an archive by the commands, and the seconds that each takes."""
    import rasterio  # noqa: F401  # which reads tiles; without it the section is skipped

    facts: Facts = {}
    settings = " ".join(f"--set {each}" for each in sizes.narrow)
    with tempfile.TemporaryDirectory() as folder:
        for line in (
            f"simulate world --places 12 --test-places 4 --size {sizes.side}",
            "prepare world/train --holdout 2",
            f"train p2phd1 {settings} --set epochs=2 --set decay_epochs=0",
            "predict --ensemble p2phd1 --input world/test",
            "package --layout plain",
        ):
            started = time.monotonic()
            command = [sys.executable, "-m", "kit", *line.split()]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            facts[line] = round(time.monotonic() - started, 2)
            if done.returncode:
                return facts | {"failed": done.stderr.strip().splitlines()[-3:]}
    return facts


def launched(sizes: Sizes) -> Facts:
    """One rank of torchrun, over NCCL on a card: ended by SIGTERM, gone on with, ended again."""
    # They read tiles by rasterio; without it the section is skipped.
    from kit.pairs.prepare import prepare
    from kit.screening.rule import CloudRule
    from kit.simulation.simulate import simulate

    settings = [word for each in (*sizes.narrow, "epochs=9999") for word in ("--set", each)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "1", "-m", "kit", "train", "spade1", *settings]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        world = simulate(at / "world", places=8, test_places=0, size=sizes.side)
        prepare(world.train, at / "work", rule=CloudRule(), holdout=2)
        log, metrics = at / "log", at / "runs" / "spade1" / "metrics.jsonl"
        first = ended(command, log, lambda: metrics.exists() and metrics.stat().st_size > 0)
        again = ended(command, log, lambda: "resuming from step" in log.read_text())
    return {"first": first, "again": again}


def ended(command: list[str], log: Path, ready: Callable[[], bool]) -> Facts:
    """What a command does that gets SIGTERM when it is ready; its last lines if it never was."""
    start = time.monotonic()
    with (
        log.open("w") as file,
        subprocess.Popen(command, cwd=log.parent, stdout=file, stderr=file) as process,
    ):
        while not ready() and process.poll() is None and time.monotonic() - start < _PATIENCE:
            time.sleep(0.1)
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait()
    ended_s = time.monotonic() - sent
    if not ready():
        return {"exit code": code, "last lines": log.read_text().splitlines()[-12:]}
    return {"ready s": round(sent - start, 1), "ended s": round(ended_s, 1), "exit code": code}


def loader(sizes: Sizes) -> Facts:
    """Images/s that so many threads make ready for a training, from tiles in the page cache."""
    # They read tiles by rasterio; without it the section is skipped.
    from kit.inputs.dataset import PairDataset, batches
    from kit.inputs.planes import InputPlanes
    from kit.pairs.prepare import prepare
    from kit.pairs.table import PAIRS, read_pairs
    from kit.pairs.tile_pairs import TilePairs
    from kit.screening.rule import CloudRule
    from kit.simulation.simulate import simulate
    from kit.variants.registry import find_variant

    variant = find_variant("p2phd1", sizes.settings)
    with tempfile.TemporaryDirectory() as folder:
        world = simulate(Path(folder, "world"), places=8, size=sizes.side)
        work = Path(folder, "work")
        prepare(world.train, work, rule=CloudRule(), max_cloud=1.0, holdout=0)
        pairs = [pair for pair in read_pairs(work / PAIRS) if pair.dataset1] * sizes.steps
        data = PairDataset(InputPlanes(variant), TilePairs(), pairs, crop=variant.crop)

        def load(threads: int) -> int:
            made = batches(data, epoch=0, batch=sizes.batches[0], workers=threads)
            return sum(len(each.inputs) for each in made)

        images = load(1)  # which also brings the tiles into the cache
        return {f"{n} threads": images / timed(partial(load, n)) for n in (1, 2, 4, 8, 12)}
