"""How fast generators draw, in every way that this machine has: `make bench-predict`.

Both generators at full width, with made-up weights, on tiles of 256 x 256. Each engine is a process
of its own; all of a network take turns in one run. Errors are differences from eager float32 in
[0, 1], of those weights: what an engine does to trained ones the gate measures. A table goes to the
screen, the same rows to bench/predict.json.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from host import host
from process import ask, beside_others, child, device, multiplying, peak_memory, timed, worked
from report import row
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kit.cli import console
from kit.engines.accuracy import Samples
from kit.engines.backend import Plan
from kit.engines.cache import RECORD
from kit.engines.choose import choose
from kit.engines.engine import Engine
from kit.engines.registry import BACKENDS
from kit.engines.request import Precision, Request
from kit.errors import InputError
from kit.machine.cores import cores
from kit.machine.device import pick
from kit.models.infer import infer_tiles
from kit.models.registry import build_generator
from kit.models.spade import SpadeGenerator
from kit.prediction.predict import predict
from kit.runs.folder import BEST
from kit.runs.weights import read_run, save_weights
from kit.simulation.simulate import simulate
from kit.storage.files import write_json
from kit.variants.registry import find_variant

SIDE = 256
NAMES = ("spade2", "p2phd1")
ENSEMBLE = ("spade4", "spade2", "p2phd1")
# Several of the largest batches that a backend plans.
SCENES = max(24, 8 * cores()) if pick().type == "cpu" else 256
ANYTHING = math.inf
_KINDS = {"float32": torch.float32, "int8": torch.int8}  # float16 is as fast as bfloat16


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, help="where weights, engines and tiles may lie")
    options.add_argument("--rounds", type=int, default=3, help="turns that each engine is measured")
    options.add_argument("--width", type=int, default=64, help="of the generators")
    options.add_argument("--backends", nargs="*", default=[*BACKENDS], help="measure these alone")
    chosen = options.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        root = Path(folder)
        peaks = {kind: multiplying(kind) for kind in (torch.float32, torch.bfloat16, torch.int8)}
        rows += [product(kind, peaks, "before") for kind in peaks]
        rows += host(root)
        for name in ENSEMBLE:
            made_up(root, name, chosen.width)
        for name in NAMES:
            found = engines(root, name, chosen.backends, chosen.rounds, peaks)
            best = max((each for each in found if "backend" in each), key=lambda each: each["rate"])
            fastest = best["backend"], best["precision"]
            rows += found
            rows += pipeline(root, (name,), *fastest, chosen.rounds)
            rows += second_start(root, name, *fastest)
            for way in {("eager", "float32"), fastest}:
                rows += loaded(root, name, *way, chosen.rounds)
        # A prediction has one backend for all members: that of the last.
        rows += ensemble(root, *fastest, rows, chosen.rounds)
        rows += [product(kind, peaks, "best") for kind in peaks]
    table(rows)
    write_json(Path(__file__).with_suffix(".json"), rows)


def product(kind: torch.dtype, peaks: dict[torch.dtype, float], when: str) -> dict[str, Any]:
    """The row of a product in this type."""
    words = f"torch.mm 2048, {kind}, {when}"
    return row(words, peaks[kind] / 1e9, "Gop/s", peaks[kind] / peaks[torch.float32], "float32")


def made_up(root: Path, name: str, width: int) -> None:
    """Write weights whose pictures are neither flat nor black and white."""
    torch.manual_seed(0)
    variant = find_variant(name, [f"width={width}"])
    generator = build_generator(variant)
    sar = torch.rand(2, 2, 64, 64) * 2 - 1
    with torch.no_grad():
        for _ in range(10):  # until spectral norms know what they divide by
            generator(sar)
        for module in generator.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                module.running_var.uniform_(0.5, 2)
        if isinstance(generator, SpadeGenerator):
            # Untrained, it draws a grey that no rounding can change.
            drawn: list[torch.Tensor] = []
            hook = generator.conv_img.register_forward_hook(lambda *call: drawn.append(call[2]))
            generator.eval()(sar)
            hook.remove()
            generator.conv_img.weight *= 0.5 / drawn[0].std()
    facts = {"mean_color": [0.2, 0.2, 0.2]}
    save_weights(root / "runs" / name / BEST, generator, variant, facts)


def engine(root: Path, name: str, backend: str, precision: Precision) -> Engine:
    """The engine, built and measured if that has not been done."""
    radar = np.random.default_rng(0).random((2, 2, SIDE, SIDE), dtype=np.float32)
    # Truths of all zeros, because without any the gate cannot judge; here it admits all.
    truth = np.zeros((2, 3, SIDE, SIDE), np.float32)
    samples = Samples(radar, truth, lambda: radar, None, "made tiles")
    return choose(
        read_run(root / "runs", name), (SIDE, SIDE), Request(backend, precision, ANYTHING),
        cache=root / "engines", samples=lambda: samples, report=console.write,
    )  # fmt: skip


def engines(
    root: Path, name: str, backends: Sequence[str], rounds: int, peaks: dict[torch.dtype, float]
) -> list[dict[str, Any]]:
    """Every engine of one generator, one tile at a time and as many as is best.

    `peaks` are the operations a second of a product in each type, raised where a turn has more.
    """
    wanted: list[tuple[str, Precision]] = []
    for backend in backends:
        try:
            BACKENDS[backend].require()
            wanted += [(backend, precision) for precision in BACKENDS[backend].precisions()]
        except InputError as error:
            console.write(f"no rows for {backend}: {error.problem}")
    with ExitStack() as stack:
        children = {}
        for each in wanted:
            with child(build, root, name, *each) as builder:
                if not builder.recv():
                    continue
            children[each] = stack.enter_context(child(serve, root, name, *each))
        facts = {each: of.recv() for each, of in children.items()}
        turns = []
        for _ in range(rounds + 1):
            # Beside the engines, as other programs slow both.
            peaks |= {kind: max(peak, multiplying(kind)) for kind, peak in peaks.items()}
            turns.append([(ask(of, "one"), ask(of, "best")) for of in children.values()])
        memory = {each: ask(of, "memory") for each, of in children.items()}
        spent = {each: ask(of, "spent") for each, of in children.items()}
    limits = {kind: multiplying(kind, worked) for kind in peaks}
    work = operations(root, name)
    fastest = [tuple(map(min, zip(*each, strict=True))) for each in zip(*turns[1:], strict=True)]
    rates = {
        each: (1 / one, facts[each]["batch"] / many)
        for each, (one, many) in zip(children, fastest, strict=True)
    }
    eager = rates["eager", "float32"][0]
    rows = []
    for (backend, precision), pair in rates.items():
        known = facts[backend, precision]
        kind = _KINDS.get(precision, torch.bfloat16)
        for batch, rate in ((1, pair[0]), (known["batch"], pair[1])):
            words = f"{name} {backend} {precision} b{batch}"
            rows.append(row(words, rate, "images/s", rate / eager, "eager") | {
                "backend": backend, "precision": precision,
                "share_of_mm": rate * work / peaks[kind],
                "memory_mib": memory[backend, precision], **known,
            })  # fmt: skip
            if known["batch"] == 1:
                break
        if pick().type == "cpu":
            words, seconds = (
                f"{name} {backend} {precision}, processor time",
                spent[backend, precision],
            )
            share = work / seconds / limits[kind]
            rows.append(
                row(words, 1 / seconds, "images/s of one core", share, f"mm in {precision}")
            )
    return rows


def build(told: Connection, root: Path, name: str, backend: str, precision: Precision) -> None:
    """A child: build an engine, so that the memory of building is not that of drawing."""
    try:
        engine(root, name, backend, precision)
        told.send(True)
    except InputError as error:
        console.write(f"no row for {name}, {backend} {precision}: {error}")
        told.send(False)


def serve(asked: Connection, root: Path, name: str, backend: str, precision: Precision) -> None:
    """A child: answer `one` and `best` with seconds of a batch, `spent` of all cores, else MiB."""
    drawer = engine(root, name, backend, precision)
    single = BACKENDS[backend].load(
        drawer.folder, drawer.spec, Plan(1), lambda: read_run(root / "runs", name).generator
    )
    about = json.loads((drawer.folder / RECORD).read_text())["made"]
    asked.send({
        "batch": drawer.batch, "build_s": about.get("build_s", 0.0),
        "mean_error": drawer.accuracy.mean, "largest_error": drawer.accuracy.largest,
    })  # fmt: skip
    tiles = torch.rand(drawer.batch, 2, SIDE, SIDE) * 2 - 1
    one, best = partial(infer_tiles, single, tiles[:1]), partial(infer_tiles, drawer, tiles)
    while True:
        try:
            what = asked.recv()
        except EOFError:
            return
        if what == "memory":
            asked.send(peak_memory())
        elif what == "spent":
            asked.send(min(worked(one) for _ in range(3)))
        else:
            asked.send(timed(one if what == "one" else best))


def pipeline(
    root: Path, names: Sequence[str], backend: str, precision: Precision, rounds: int
) -> list[dict[str, Any]]:
    """`kit predict` from tiles to stored pictures, and its engines alone, in turns."""
    world = root / "world"
    if not world.exists():
        simulate(world, places=1, test_places=SCENES, dates=1, size=SIDE)
    way = backend, precision
    turns = [
        (sum(alone(root, name, *way) for name in names), piped(root, names, *way))
        for _ in range(rounds)
    ]
    rate = 1 / min(seconds for _, seconds in turns)
    ratio = statistics.median(engines / whole for engines, whole in turns)
    unit = "images/s" if len(names) == 1 else "scenes/s"
    return [row(f"{'+'.join(names)}, kit predict", rate, unit, ratio, "engines alone")]


def alone(root: Path, name: str, backend: str, precision: Precision) -> float:
    """Seconds a tile of an engine that draws as many as `kit predict` does."""
    drawer = engine(root, name, backend, precision)
    tiles = torch.rand(drawer.batch, 2, SIDE, SIDE) * 2 - 1
    drawer(tiles)
    batches = SCENES // drawer.batch
    return timed(lambda: [drawer(tiles) for _ in range(batches)]) / (batches * drawer.batch)


def piped(root: Path, names: Sequence[str], backend: str, precision: Precision) -> float:
    """Seconds a scene of `kit predict`, once the first batch is drawn."""
    told: list[tuple[float, int]] = []
    predict(
        ",".join(names), root / "world" / "test", runs=root / "runs", work=root / "none",
        predictions=root / "predictions", engines=root / "engines",
        request=Request(backend, precision, ANYTHING), overwrite=True,
        advance=lambda done, total, words="": told.append((time.perf_counter(), done)),
    )  # fmt: skip
    told = [each for each in told if each[1]]
    return (told[-1][0] - told[0][0]) / (told[-1][1] - told[0][1]) * len(names)


def ensemble(
    root: Path, backend: str, precision: Precision, rows: Sequence[dict[str, Any]], rounds: int
) -> list[dict[str, Any]]:
    """All three members, through one pipeline and one after the other in eager float32."""
    rates = {each["name"]: each["rate"] for each in rows}
    eager = {name: rates[f"{name} eager float32 b1"] for name in NAMES}
    slow = 1 / (2 / eager["spade2"] + 1 / eager["p2phd1"])
    (found,) = pipeline(root, ENSEMBLE, backend, precision, rounds)
    return [
        row("ensemble, eager float32", slow, "scenes/s", 1.0, "eager"),
        found,
        row("ensemble, kit predict", found["rate"], "scenes/s", found["rate"] / slow, "eager"),
    ]


def loaded(
    root: Path, name: str, backend: str, precision: Precision, rounds: int
) -> list[dict[str, Any]]:
    """An engine beside busy programs; eager is what validation draws with."""
    with child(serve, root, name, backend, precision) as of:
        of.recv()
        return beside_others(f"{name} {backend} {precision} b1", of, "one", 1, rounds)


def second_start(root: Path, name: str, backend: str, precision: Precision) -> list[dict[str, Any]]:
    """How long a process that finds its engine in the cache takes to load it, and to draw."""
    with child(first_tile, root, name, backend, precision) as of:
        loading, drawing = of.recv()
    return [
        row(f"{name}, second start: engine found, checked, loaded", loading, "s", 1.0, "itself"),
        row(f"{name}, second start: first batch after that", drawing, "s", 1.0, "itself"),
    ]


def first_tile(told: Connection, root: Path, name: str, backend: str, precision: Precision) -> None:
    """A child: find the engine, load it, draw."""
    began = time.perf_counter()
    drawer = engine(root, name, backend, precision)
    loaded = time.perf_counter()
    drawer(torch.zeros(drawer.batch, 2, SIDE, SIDE))
    told.send((loaded - began, time.perf_counter() - loaded))


def operations(root: Path, name: str) -> int:
    """Floating point operations for one tile."""
    generator = read_run(root / "runs", name).generator.to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(torch.empty(1, 2, SIDE, SIDE, device="meta"))
    return int(counter.get_total_flops())


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows, with what only engines have."""

    def cell(each: dict[str, Any], field: str, form: str) -> str:
        return format(each[field], form) if field in each else ""

    console.table(
        f"Drawing on {device()}, {time.strftime('%Y-%m-%d')}",
        ("what", "rate", "ratio", "to", "of mm", "MiB", "built", "error"),
        [(each["name"], f"{each['rate']:.3g} {each['unit']}", f"{each['ratio']:.2f}", each["to"],
          cell(each, "share_of_mm", ".0%"), cell(each, "memory_mib", ",.0f"),
          cell(each, "build_s", ".0f"), cell(each, "mean_error", ".0e")) for each in rows],
    )  # fmt: skip


if __name__ == "__main__":
    main()
