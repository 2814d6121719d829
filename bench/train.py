"""How fast training is: beside a plain implementation of the same networks, and with its loader.

The plain step and the kit's run in a process each, because memory is kept by process, and take
turns, because machines are shared and noisy; a ratio is the median of those within a turn. A table
goes to the screen, the same rows to bench/train.json.

    python bench/train.py [--rounds 9] [--folder /tmp]
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from plain import Plain
from process import ask, beside_others, child, device, multiplying, peak_memory, timed
from report import report, row
from torch.utils.flop_counter import FlopCounterMode

from kit.cli import console
from kit.inputs.dataset import PairDataset, Sample, batches
from kit.inputs.planes import InputPlanes
from kit.machine.bfloat16 import bfloat16_pays
from kit.machine.cores import loader_threads, share_cores
from kit.machine.device import LARGE_PAGES, keep_memory, pick
from kit.machine.distributed import ProcessGroup
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pack import pack
from kit.pairs.pair_reader import PairReader
from kit.pairs.prepare import prepare
from kit.pairs.table import PAIRS, read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.screening.rule import CloudRule
from kit.simulation.simulate import simulate
from kit.training.state import State
from kit.training.train_step import TrainStep
from kit.variants.registry import find_variant
from kit.variants.settings import Variant

NAMES = ("spade1", "spade2", "p2phd1")
NARROW = ("width=16", "discriminator_width=16", "crop=128", "batch=4")
EPOCH = 81_391  # pairs that the paper trained on
LARGEST = 256  # a batch beyond any device


def main() -> None:
    """Run all benchmarks and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--folder", type=Path, default=None)
    chosen = arguments.parse_args()
    share_cores()  # for the processes that are measured; torch is loaded here already
    keep_memory()
    peak = ceiling()
    rows = [row("torch.mm", peak / 1e9, "GFLOP/s", 1.0, "itself")]
    for name in NAMES:
        rows += stepping(find_variant(name, NARROW), chosen.rounds, peak)
    variant = find_variant("spade2", NARROW)
    with child(serve, variant, "kit") as kit:
        rows += beside_others(f"{variant.name}: kit", kit, "step", variant.batch, chosen.rounds)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        rows += loading(Path(folder), find_variant("p2phd1", NARROW), chosen.rounds)
    if pick().type == "cuda":
        for name in NAMES:
            rows += full_size(find_variant(name))
    else:
        console.write("no rows for full width: torch sees no CUDA device")
    report(f"Training on {device()}", rows, Path(__file__), decimals=1)


def ceiling() -> float:
    """Floating point operations a second in a product of matrices, in the precision of training."""
    kind = torch.bfloat16 if bfloat16_pays() else torch.float32
    return multiplying(kind, side=8192 if pick().type == "cuda" else 2048, times=10)


def stepping(variant: Variant, rounds: int, peak: float) -> list[dict[str, Any]]:
    """Steps on a batch in memory: plain and the kit's, and what share of `peak` that is."""
    with child(serve, variant, "plain") as plain, child(serve, variant, "kit") as kit:
        turns = [[ask(of, "step") for of in (plain, kit)] for _ in range(rounds + 1)][1:]
        used = {who: ask(of, "memory") for who, of in (("plain", plain), ("kit", kit))}
        operations = ask(kit, "operations")
    slow, fast = (variant.batch / min(seconds) for seconds in zip(*turns, strict=True))
    ratio = statistics.median(before / after for before, after in turns)
    share = operations / variant.batch * fast / peak
    return [
        row(f"{variant.name}: plain", slow, "images/s", 1.0, "itself"),
        row(f"{variant.name}: kit", fast, "images/s", ratio, "plain"),
        row(f"{variant.name}: kit", share * peak / 1e9, "GFLOP/s", share, "torch.mm"),
        row(f"{variant.name}: plain, memory", used["plain"], "MiB", 1.0, "itself"),
        row(f"{variant.name}: kit, memory", used["kit"], "MiB", used["kit"] / used["plain"],
            "plain"),
    ]  # fmt: skip


def loading(folder: Path, variant: Variant, rounds: int) -> list[dict[str, Any]]:
    """The loader alone, steps alone, and both, from tiles and from a pack in the page cache."""
    world, work = simulate(folder / "world", places=8, test_places=0, dates=4), folder / "work"
    prepare(world.train, work, rule=CloudRule(), max_cloud=1.0, holdout=0)
    pairs = [pair for pair in read_pairs(work / PAIRS) if pair.dataset1]
    sources: dict[str, PairReader] = {"tiles": TilePairs()}
    pack(work)
    sources["pack"] = open_pairs(work, pairs)
    step = TrainStep(variant, State.new(variant), ProcessGroup())
    rows = []
    for name, reader in sources.items():
        dataset = PairDataset(
            InputPlanes(replace(variant, seed=0)), reader, pairs, crop=variant.crop
        )
        rows += together(f"{variant.name}, {name}", step, dataset, variant.batch, rounds)
    return rows


def together(
    name: str, step: TrainStep, dataset: PairDataset, batch: int, rounds: int
) -> list[dict[str, Any]]:
    """Eight batches loaded, learnt from, and both at a time."""

    threads = loader_threads(pick().type == "cuda")

    def load() -> Iterator[Sample]:
        return islice(batches(dataset, epoch=0, batch=batch, workers=threads), 8)

    def learn(samples: Iterable[Sample]) -> None:
        for sample in samples:
            step(sample)

    held = list(load())
    images = sum(len(sample.inputs) for sample in held)
    calls: dict[str, Callable[[], object]] = {
        "loader alone": lambda: list(load()),
        "step alone": lambda: learn(held),
        "both": lambda: learn(load()),
    }
    turns = []
    for turn in range(1 + 2 * rounds):  # a loader of a hundredth is less than the machine's noise
        order = list(calls)[:: 1 if turn % 2 else -1]
        seconds = {what: timed(calls[what]) for what in order}
        turns.append([seconds[what] for what in calls])
    rates = [images / min(seconds) for seconds in zip(*turns[1:], strict=True)]
    # Of the slower of the two, within a turn.
    share = statistics.median(max(alone[:2]) / alone[2] for alone in turns[1:])
    ratios = [rate / min(rates[:2]) for rate in rates[:2]] + [share]
    return [
        row(f"{name}: {what}", rate, "images/s", ratio, "the slower of the two")
        for what, rate, ratio in zip(calls, rates, ratios, strict=True)
    ]


def full_size(variant: Variant) -> list[dict[str, Any]]:
    """Full width at 256 pixels with the batch that is fastest on this device."""
    best = (0.0, 0, 0.0)
    for batch in fitting(variant):
        with child(serve, replace(variant, batch=batch), "kit") as kit:
            seconds = min(ask(kit, "step") for _ in range(6))
            best = max(best, (batch / seconds, batch, ask(kit, "memory")))
    rate, batch, memory = best
    name = f"{variant.name}, full width, batch {batch}"
    return [
        row(name, rate, "images/s", 1.0, "itself"),
        row(f"{name}, memory", memory, "MiB", 1.0, "itself"),
        row(f"{name}, an epoch of {EPOCH:,} pairs", EPOCH / rate / 3600, "hours", 1.0, "itself"),
    ]


def fitting(variant: Variant) -> Iterator[int]:
    """Batches of 1, 2, 4 and so on up to what the device can hold."""
    for batch in (2**power for power in count()):
        with child(serve, replace(variant, batch=batch), "kit") as kit:
            if batch > LARGEST or ask(kit, "step") == float("inf"):
                return
        yield batch


def serve(asked: Connection, variant: Variant, who: str) -> None:
    """A child: answer `step` with seconds, `memory` with MiB, `operations` with those of a step."""
    if who == "kit":
        keep_memory()
    else:
        os.environ.pop(LARGE_PAGES, None)  # which it inherits
    torch.manual_seed(0)
    size = (variant.batch, 3, variant.crop, variant.crop)
    target = torch.rand(size, device=pick()) * 2 - 1
    sample = Sample(target[:, :2].contiguous().clone(), target, torch.ones_like(target[:, :1]))
    if who == "kit":
        step = TrainStep(variant, State.new(variant), ProcessGroup())
        take = partial(step, sample)
    else:
        take = partial(Plain.new(variant, pick()).step, *sample)
    while True:
        try:
            what = asked.recv()
        except EOFError:
            return
        if what == "step":
            try:
                asked.send(timed(take))
            except torch.OutOfMemoryError:
                asked.send(float("inf"))
        elif what == "memory":
            asked.send(peak_memory())
        else:
            with FlopCounterMode(display=False) as counter:
                take()
            asked.send(counter.get_total_flops())


if __name__ == "__main__":
    main()
