"""What one process learns of a card: ceilings, equal losses, waits, training steps, drawing.

Each function is a section of bench/gpu_check.py.
"""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from process import timed
from torch.utils.flop_counter import FlopCounterMode

from kit.inputs.dataset import Sample
from kit.machine.device import pick, place
from kit.machine.distributed import ProcessGroup
from kit.models.registry import build_generator
from kit.training.compile_error import CompileError
from kit.training.state import State
from kit.training.train_step import TrainStep
from kit.variants.registry import find_variant
from kit.variants.settings import Variant

NAMES = ("spade2", "p2phd1", "spade1")
_TOGETHER = 3
Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured: the whole thing, or a rehearsal of it."""

    product: int = 8192
    copied: int = 2**33
    settings: tuple[str, ...] = ("precision=bfloat16",)
    narrow: tuple[str, ...] = ("width=8", "discriminator_width=8", "crop=64", "batch=4")
    batches: tuple[int, ...] = (8, 32)
    side: int = 256
    steps: int = 10


TINY = ("width=2", "discriminator_width=2", "crop=64", "batch=2")
REHEARSAL = Sizes(256, 2**20, ("precision=float32", *TINY), TINY, (2,), 64, 2)


def machine(sizes: Sizes) -> Facts:
    """The versions, the card and its driver."""
    facts: Facts = {"torch": torch.__version__, "CUDA": torch.version.cuda, "device": str(pick())}
    if pick().type == "cuda":
        about = torch.cuda.get_device_properties(0)
        facts |= {"card": about.name, "GiB": about.total_memory / 2**30, "SM": about.major}
        query = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm", "--format=csv,noheader"]
        facts["driver, clock"] = subprocess.run(
            query, capture_output=True, text=True
        ).stdout.strip()
    return facts


def ceilings(sizes: Sizes) -> Facts:
    """A bfloat16 product of random matrices, and a copy: what nothing exceeds."""
    a = torch.randn(sizes.product, sizes.product, device=pick(), dtype=torch.bfloat16)
    copied = sizes.copied
    if pick().type == "cuda":
        copied = min(copied, torch.cuda.mem_get_info()[0] // 4)
    source = torch.empty(copied, dtype=torch.uint8, device=pick())
    target = torch.empty_like(source)
    product = best(lambda: a @ a, sizes.steps)
    copy = best(lambda: target.copy_(source), sizes.steps)
    return {
        "TFLOP/s": 2 * sizes.product**3 / product / 1e12,
        "TB/s": 2 * copied / copy / 1e12,
    }


def equal(sizes: Sizes) -> Facts:
    """Losses of five steps in float32 beside those of the processor: relative differences."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    facts = {}
    for name in NAMES:
        variant = find_variant(name, (*sizes.narrow, "precision=float32"))
        there, here = (losses(variant, device) for device in (pick(), torch.device("cpu")))
        apart = [abs(a - b) / abs(b) for a, b in zip(there, here, strict=True)]
        facts[name] = {"first step": apart[0], "fifth step": apart[-1]}
    return facts


def losses(variant: Variant, device: torch.device) -> list[float]:
    """The pixel loss of each of five steps on the same batch, from the same weights."""
    with on(torch.device("cpu")):
        torch.manual_seed(0)
        start = State.new(variant)
    with on(device):
        state = State.new(variant)
        state.generator.load_state_dict(start.generator.state_dict())
        if state.discriminator and start.discriminator:
            state.discriminator.load_state_dict(start.discriminator.state_dict())
        step = TrainStep(variant, state, ProcessGroup())
        batch = sample(variant, variant.batch, variant.crop)
        return [(step(batch) | step.last_losses())[variant.pixel_loss] for _ in range(5)]


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Let the kit pick a device while the block runs."""
    before = torch.cuda.is_available
    torch.cuda.is_available = lambda: device.type == "cuda"
    try:
        yield
    finally:
        torch.cuda.is_available = before


def waits(sizes: Sizes) -> Facts:
    """How often a step waits for the device, and where.

    0 is meant: for the losses of the step before it waits for an event, which torch reports not.
    """
    facts: Facts = {}
    for name in NAMES:
        variant = find_variant(name, sizes.narrow)
        step = TrainStep(variant, State.new(variant), ProcessGroup())
        batch = sample(variant, variant.batch, variant.crop)
        step(batch)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if pick().type == "cuda":
                torch.cuda.set_sync_debug_mode("warn")
            step(batch)
            if pick().type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        found = [w for w in caught if "synchroniz" in str(w.message)]
        where = sorted({f"{Path(w.filename).name}:{w.lineno}" for w in found})
        facts[name] = {"waits": len(found), "where": where}
    return facts


def steps(sizes: Sizes) -> Facts:
    """Training steps at full width, eager and compiled: images/s, share of a product, memory."""
    peak = ceilings(sizes)["TFLOP/s"] * 1e12
    facts: Facts = {}
    for name in NAMES:
        for count in sizes.batches:
            variant = replace(find_variant(name, sizes.settings), batch=count)
            for compiled in (False, True):
                label = f"{name}, batch {count}, {'compiled' if compiled else 'eager'}"
                try:
                    facts[label] = stepping(variant, sizes, compiled, peak)
                except (RuntimeError, CompileError) as error:
                    facts[label] = {"failed": " ".join(str(error).split())[:300]}
                print(json.dumps({label: facts[label]}), file=sys.stderr)
    return facts


def stepping(variant: Variant, sizes: Sizes, compiled: bool, peak: float) -> Facts:
    """One line of `steps`."""
    # The counter sees nothing of a compiled step. Of one pair, so that it takes no time.
    one = replace(variant, batch=1)
    with FlopCounterMode(display=False) as counter:
        TrainStep(one, State.new(one), ProcessGroup())(sample(one, 1, sizes.side))
    operations = variant.batch * counter.get_total_flops()
    if pick().type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    batch = sample(variant, variant.batch, sizes.side)
    # Else torch compiles a second size of batch for any, and at last none.
    torch.compiler.reset()
    step = TrainStep(variant, State.new(variant), ProcessGroup(), compiled)
    first = best(lambda: step(batch), 1)
    # Several at a time, because one begins while the one before it computes.
    seconds = best(lambda: [step(batch) for _ in range(_TOGETHER)], sizes.steps) / _TOGETHER
    facts = {
        "images/s": variant.batch / seconds,
        "share": operations / seconds / peak,
        "first s": first,
    }
    if pick().type == "cuda":
        facts["GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return facts


def draw(sizes: Sizes) -> Facts:
    """Images/s of generators by eager PyTorch with autocast, on a batch that lies on the device."""
    facts: Facts = {}
    for name in ("spade4", "p2phd1"):
        variant = find_variant(name, sizes.settings)
        generator = place(build_generator(variant).eval())
        for count in sizes.batches:
            inputs = place(sample(variant, count, sizes.side).inputs)
            with torch.inference_mode(), torch.autocast(pick().type, torch.bfloat16):
                seconds = best(partial(generator, inputs), sizes.steps)
            facts[f"{name}, batch {count}"] = count / seconds
    return facts


def sample(variant: Variant, count: int, side: int) -> Sample:
    """A batch of random numbers, as the loader gives them."""
    random = torch.Generator().manual_seed(0)
    inputs = torch.rand(count, variant.input_channels, side, side, generator=random) * 2 - 1
    target = torch.rand(count, 3, side, side, generator=random) * 2 - 1
    return Sample(inputs, target, torch.ones(count, 1, side, side))


def best(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of so many rounds."""
    return min(timed(work) for _ in range(rounds))
