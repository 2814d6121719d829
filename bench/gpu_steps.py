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
from tempfile import TemporaryDirectory
from typing import Any

import torch
from process import timed
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kit.engines.backend import Plan, Spec
from kit.engines.backends import inductor as backend
from kit.inputs.dataset import Sample
from kit.machine.device import pick, place
from kit.machine.distributed import ProcessGroup
from kit.models.registry import build_generator
from kit.models.rewrites.fuse import for_inference
from kit.training import checkpoint
from kit.training.compile_error import CompileError
from kit.training.state import State
from kit.training.train_step import TrainStep
from kit.variants.registry import find_variant
from kit.variants.settings import Variant

NAMES = ("spade2", "p2phd1", "spade1")
_TOGETHER = 3
_ALONE = ProcessGroup()
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
    drawn: tuple[str, ...] = ("p2phd1", "spade4")


TINY = ("width=2", "discriminator_width=2", "crop=64", "batch=2")
REHEARSAL = Sizes(256, 2**20, ("precision=float32", *TINY), TINY, (2,), 64, 2, ("p2phd1",))


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
    facts = {}
    for name in NAMES:
        variant = find_variant(name, (*sizes.narrow, "precision=float32"))
        there, here = (losses(variant, device) for device in (pick(), torch.device("cpu")))
        facts[name] = compared(there, here)
    return facts


def compared(found: list[float], expected: list[float]) -> Facts:
    """Relative differences of losses at the first step and at the last."""
    differ = [abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True)]
    return {"first step": differ[0], "fifth step": differ[-1]}


def losses(variant: Variant, device: torch.device, group: ProcessGroup = _ALONE) -> list[float]:
    """The pixel loss of each of five steps on the same batch, from the same weights."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with on(torch.device("cpu")):
        torch.manual_seed(0)
        start = State.new(variant)
    with on(device):
        state = State.new(variant)
        state.generator.load_state_dict(start.generator.state_dict())
        if state.discriminator and start.discriminator:
            state.discriminator.load_state_dict(start.discriminator.state_dict())
        step = TrainStep(variant, state, group)
        batch = sample(variant, variant.batch, variant.crop)
        own = Sample(*(tensor.chunk(group.world_size)[group.rank] for tensor in batch))
        return [next_loss(step, own) for _ in range(5)]


def next_loss(step: TrainStep, batch: Sample) -> float:
    """The pixel loss of one more step."""
    return (step(batch) | step.last_losses())[step.variant.pixel_loss]


def saved(sizes: Sizes) -> Facts:
    """The relative difference of the loss after a checkpoint, beside going on: 0, or rounding."""
    facts: Facts = {}
    for name in NAMES:
        variant = find_variant(name, (*sizes.narrow, "precision=float32"))
        state, other = State.new(variant), State.new(variant)
        step = TrainStep(variant, state, _ALONE)
        batch = sample(variant, variant.batch, variant.crop)
        for _ in range(3):
            next_loss(step, batch)
        with TemporaryDirectory() as folder:
            checkpoint.save(state, Path(folder, "checkpoints"))
            checkpoint.resume(other, Path(folder, "checkpoints"), print)
        goes_on = next_loss(step, batch)
        facts[name] = abs(next_loss(TrainStep(variant, other, _ALONE), batch) - goes_on) / goes_on
    return facts


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
        step = TrainStep(variant, State.new(variant), _ALONE)
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
        TrainStep(one, State.new(one), _ALONE)(sample(one, 1, sizes.side))
    operations = variant.batch * counter.get_total_flops()
    if pick().type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    batch = sample(variant, variant.batch, sizes.side)
    # Else torch compiles a second size of batch for any, and at last none.
    torch.compiler.reset()
    step = TrainStep(variant, State.new(variant), _ALONE, compiled)
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


def tuned(sizes: Sizes) -> Facts:
    """Eager steps with convolutions that cuDNN chooses by measuring, and as it chooses itself."""
    peak = ceilings(sizes)["TFLOP/s"] * 1e12
    facts: Facts = {}
    for name in NAMES:
        variant = replace(find_variant(name, sizes.settings), batch=sizes.batches[0])
        for measured in (True, False):
            torch.backends.cudnn.benchmark = measured
            label = f"{name}, {'measured' if measured else 'as it is'}"
            facts[label] = stepping(variant, sizes, False, peak)
    return facts


def draw(sizes: Sizes) -> Facts:
    """Images/s of generators by eager PyTorch with autocast, on a batch that lies on the device."""
    facts: Facts = {}
    for name in sizes.drawn:
        variant = find_variant(name, sizes.settings)
        generator = place(build_generator(variant).eval())
        for count in sizes.batches:
            inputs = place(sample(variant, count, sizes.side).inputs)
            with torch.inference_mode(), torch.autocast(pick().type, torch.bfloat16):
                seconds = best(partial(generator, inputs), sizes.steps)
            facts[f"{name}, batch {count}"] = count / seconds
    return facts


def inductor(sizes: Sizes) -> Facts:
    """Images/s of the same generators by torch's compiler ahead of time, and seconds to build."""
    precision = backend.precisions()[0]
    facts: Facts = {}
    for name in sizes.drawn:
        variant = find_variant(name, sizes.settings)
        spec = Spec(precision, sizes.side, sizes.side, channels=variant.input_channels)
        network = for_inference(build_generator(variant).eval(), name, variant.input_channels)
        inputs = sample(variant, sizes.batches[-1], sizes.side).inputs
        with TemporaryDirectory() as folder:
            built = timed(partial(backend.build, network, spec, Path(folder), inputs[:0]))
            run = backend.load(Path(folder), spec, Plan(len(inputs)), nn.Module)
            placed = place(inputs)
            seconds = best(partial(run, placed), 1 + sizes.steps)
        facts[f"{name}, {precision}"] = {"images/s": len(inputs) / seconds, "built s": built}
        print(json.dumps(facts), file=sys.stderr)
    return facts


def sample(variant: Variant, count: int, side: int) -> Sample:
    """A batch of random numbers, as the loader gives them."""
    random = torch.Generator().manual_seed(0)
    inputs = torch.rand(count, variant.input_channels, side, side, generator=random) * 2 - 1
    target = torch.rand(count, 3, side, side, generator=random) * 2 - 1
    return Sample(inputs, target, torch.ones(count, 1, side, side))


def apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference of two tensors, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def best(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of so many rounds."""
    return min(timed(work) for _ in range(rounds))
