"""How fast a variant is trained on this machine, measured on a few steps of networks that go.

In: a run's setup. Out: the seconds of a step, of a predicted image and of a batch that is read. The
networks are new ones, so that a run that is trained afterwards starts as if nothing was measured.
"""

import statistics
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import torch
from torch import nn

from kit.inputs.dataset import PairDataset, Sample, batches
from kit.inputs.planes import read_pair
from kit.machine.device import pick, place
from kit.machine.memory import within_memory
from kit.models.infer import infer
from kit.training import boosting
from kit.training.fit_prior import fit_prior
from kit.training.fit_trees import READING, fit_trees, pixels_of
from kit.training.setup import RunSetup
from kit.training.state import State
from kit.training.train_step import NotFiniteError, TrainStep

_SECONDS = 2.0  # of steps that are measured
_STEPS, _MOST_STEPS = 3, 20
_IMAGES = 2
# What is said of memory that is refused: by torch, by oneDNN, and of the stack of a thread.
_NO_MEMORY = ("allocate memory", "enough memory", "create a primitive", "start new thread")
_TREE_PAIRS, _TREE_PIXELS = 2, 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds that the parts of a training take.

    `first_s` is a first step, which warms up or compiles; `step_s` one of those that follow, with
    the wait for its batch; `load_s` what a thread needs to read and prepare a batch; `image_s` what
    predicting one image takes; `read_s` what reading its prior takes, 0 without one.
    """

    first_s: float
    step_s: float
    load_s: float
    image_s: float
    read_s: float = 0.0


def measure_rate(setup: RunSetup, *, workers: int, compile: bool = False) -> Rate:
    """Train new networks for a few steps, and forget them. Every rank takes part.

    On a processor no more memory is taken than is available.

    Args:
        setup: the run; nothing is written to its folder.
        workers: threads that prepare batches ahead.
        compile: compile the generator with torch.compile.

    Raises:
        InputError: a tile cannot be read.
        torch.OutOfMemoryError: the card has too little memory for a step.
        MemoryError: the machine has.
    """
    if pick().type != "cpu":
        return _measured(setup, workers, compile)
    try:
        with within_memory():
            return _measured(setup, workers, compile)
    except RuntimeError as error:
        if not any(words in str(error) for words in _NO_MEMORY):
            raise
    raise MemoryError  # outside of the handler, which keeps what the step allocated


def _measured(setup: RunSetup, workers: int, compile: bool) -> Rate:
    variant, group = setup.variant, setup.group
    torch.manual_seed(variant.seed)
    state = State.new(variant)
    train_step = TrainStep(variant, state, group, compile)
    indices = range(min(variant.batch // group.world_size, len(setup.dataset)))
    load_s = group.on_all(lambda: _timed(lambda: setup.dataset.batch(0, indices)))
    steps: list[float] = []
    more = True
    with closing(_samples(setup, workers)) as samples:

        def step() -> None:
            # In a step the ranks wait for each other, so it is not a part of `on_all`.
            sample = group.on_all(lambda: next(samples))
            with suppress(NotFiniteError):  # it takes as long, and the training names the pairs
                train_step(sample)

        def first() -> None:
            step()
            with suppress(NotFiniteError):
                train_step.last_losses()  # where nothing else would wait for the device

        first_s = _timed(first)
        while more:
            steps.append(_timed(step))
            enough = len(steps) == _MOST_STEPS or (len(steps) >= _STEPS and sum(steps) > _SECONDS)
            # Rank 0 decides for all, which wait for each other in every step.
            more = not group.broadcast([int(enough)])[0]
    step_s = statistics.median(steps)  # of which a machine that does other things delays some
    image_s = group.on_all(lambda: _image_s(setup, state.generator))
    return Rate(first_s, step_s, load_s, image_s, group.on_all(lambda: _read_s(setup)))


def _samples(setup: RunSetup, workers: int) -> Generator[Sample, None, None]:
    """This rank's shares of batches without end."""
    for epoch in count():
        yield from batches(
            setup.dataset,
            epoch=epoch,
            batch=setup.variant.batch,
            workers=workers,
            rank=setup.group.rank,
            world=setup.group.world_size,
        )


def _image_s(setup: RunSetup, generator: nn.Module) -> float:
    pair, data = setup.scored[0], setup.dataset
    inputs, _ = read_pair(data.planes, data.reader, pair)
    every = inputs[None].repeat(_IMAGES, axis=0)
    infer(generator, every)  # which warms up
    return _timed(lambda: infer(generator, every)) / _IMAGES


def _read_s(setup: RunSetup) -> float:
    """Scenes of a place at other dates take longer to read than the radar of one date."""
    data, pair = setup.dataset, setup.scored[-1]
    if not setup.variant.prior:
        return 0.0
    return _timed(lambda: read_pair(data.planes, data.reader, pair))


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def measure_fit(setup: RunSetup) -> tuple[float, float]:
    """What fitting in one go takes, and predicting one image with it, both in seconds.

    Raises:
        InputError: LightGBM is not installed, where trees are fitted, or a tile cannot be read.
    """
    return _prior(setup) if setup.variant.model == "prior" else _trees(setup)


def _prior(setup: RunSetup) -> tuple[float, float]:
    """Reading is all that it takes: a few hundred pairs once, and for an image its place's."""
    return _timed(lambda: fit_prior(setup.dataset)), _read_s(setup)


def _trees(setup: RunSetup) -> tuple[float, float]:
    """A few pixels of a few pairs are fitted, then more of them.

    Reading takes as long as there are pairs, and of what a tree takes only a part grows with its
    pixels.
    """
    data = setup.dataset
    pairs = data.pairs[:_TREE_PAIRS]
    few = PairDataset(data.planes, data.reader, pairs, crop=data.crop)
    boosting.version()  # which imports the library
    # A quarter of what small tiles have, too: of equally many no growth could be told.
    _, start = _fit_of(few, sum(pixels_of(pairs, _TREE_PIXELS)) // 4)
    generator, more = _fit_of(few, _TREE_PIXELS)
    all_pixels = sum(pixels_of(data.pairs))
    slope = max(0.0, more.trees_s - start.trees_s) / max(1, more.pixels - start.pixels)
    reading_s = more.reading_s * len(data) / len(pairs)
    trees_s = more.trees_s + slope * max(0, all_pixels - more.pixels)
    return reading_s + trees_s, _image_s(setup, place(generator)) + _read_s(setup)


class _FitOf(NamedTuple):
    """Seconds of reading pairs and of trees, and how many pixels these were fitted on."""

    reading_s: float
    trees_s: float
    pixels: int


def _fit_of(dataset: PairDataset, most: int) -> tuple[nn.Module, _FitOf]:
    started = read = time.monotonic()

    def advance(done: int, total: int, words: str = "", /) -> None:
        nonlocal read
        if words == READING and done == total:
            read = time.monotonic()

    generator, facts = fit_trees(dataset, most=most, advance=advance)
    return generator, _FitOf(read - started, time.monotonic() - read, facts["pixels"])
