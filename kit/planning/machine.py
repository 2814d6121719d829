"""This machine as a plan sees it: how fast it trains each variant, and what it is.

In: the work folder. Out: rates, each measured once. What does not fit the memory, or is not
installed, is a reason and no error.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch

from kit.errors import InputError
from kit.machine.bfloat16 import bfloat16_pays
from kit.machine.cores import loader_threads
from kit.machine.device import card, keep_memory, pick
from kit.machine.distributed import ProcessGroup
from kit.machine.memory import available_memory
from kit.plain_text import count_of
from kit.planning.recipes import Size
from kit.runs.planes import planes_for_training
from kit.training.rates import Rate, measure_fit, measure_rate
from kit.training.run_data import RunData, make_setup, read_data
from kit.training.setup import RunSetup
from kit.variants.registry import VARIANTS
from kit.variants.settings import Variant

T = TypeVar("T")


class Unsuitable(Exception):
    """A variant that this machine cannot train; says why."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Seconds of a fit in one go, and of an image that it predicts."""

    fit_s: float
    image_s: float


class Machine:
    """Measures this machine, each thing once, when it is first asked for.

    Args:
        work: the folder that `prepare` wrote.
        report: called with what is measured.
    """

    def __init__(self, work: Path, report: Callable[[str], None] = lambda _: None) -> None:
        self._work = work
        self._report = report
        self._rates: dict[Variant, Rate | Unsuitable] = {}
        self._fits: dict[str, Fit | Unsuitable] = {}
        self._data: dict[int, RunData] = {}
        self._sides: dict[int, int] = {}
        self._memory = available_memory()  # before anything measured holds some
        keep_memory()

    @property
    def name(self) -> str:
        """The device, as a person knows it."""
        if pick().type == "cuda":
            return f"{torch.cuda.device_count()} x {card()}"
        memory = ""
        if self._memory is not None:
            memory = f", {self._memory / 2**30:.1f} GiB of memory available"
        return f"CPU, {count_of(torch.get_num_threads(), 'thread')}{memory}"

    @cached_property
    def start_s(self) -> float:
        """Seconds until a command has imported what trains."""
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "import kit.training.train"], check=True)
        return time.monotonic() - started

    def data(self, dataset: int) -> RunData:
        """The pairs that a variant of this data set is trained and validated on."""
        if dataset not in self._data:
            self._data[dataset] = read_data(_of_dataset(dataset), self._work)
        return self._data[dataset]

    def _largest_side(self, dataset: int) -> int:
        """The longest side of a tile that is trained on, in pixels."""
        if dataset not in self._sides:
            sides = (max(pair.height, pair.width) for pair in self.data(dataset).chosen)
            self._sides[dataset] = max(sides)
        return self._sides[dataset]

    def sized(self, variant: Variant, size: Size) -> Variant:
        """`variant` in a size, in the precision of this machine, its crop no larger than a tile."""
        crop = min(size.crop, -(-self._largest_side(variant.dataset) // 32) * 32)
        batch = min(size.batch, len(self.data(variant.dataset).chosen))
        return replace(
            variant,
            width=size.width,
            crop=crop,
            batch=batch,
            precision="bfloat16" if bfloat16_pays() else "float32",
        )

    def rate(self, variant: Variant) -> Rate:
        """How fast `variant` is trained.

        Raises:
            Unsuitable: the memory is too small for it.
        """
        key = replace(variant, name="measured", seed=0)
        if key not in self._rates:
            self._report(f"measuring {variant.model}, width {variant.width}, crop {variant.crop}")
            try:
                threads = loader_threads(pick().type == "cuda")
                self._rates[key] = measure_rate(self._setup(key), workers=threads)
            except (torch.OutOfMemoryError, MemoryError):
                size = Size(variant.width, variant.crop, variant.batch)
                self._rates[key] = Unsuitable(f"{size} does not fit the memory")
                self._report(f"{variant.model}, {self._rates[key]}")
        return _known(self._rates[key])

    def fit(self, variant: Variant) -> Fit:
        """What a fit in one go takes.

        Raises:
            Unsuitable: LightGBM is not installed.
        """
        if variant.name not in self._fits:
            self._report(f"measuring {variant.name}")
            try:
                self._fits[variant.name] = Fit(*measure_fit(self._setup(variant)))
            except InputError as error:
                self._fits[variant.name] = Unsuitable(f"{error.problem}; {error.remedy}")
        return _known(self._fits[variant.name])

    def _setup(self, variant: Variant) -> RunSetup:
        data = self.data(variant.dataset)
        planes = planes_for_training(variant, self._work, data.reader, data.chosen, data.holdout)
        return make_setup(variant, planes, data, self._work, ProcessGroup())


def _known(found: T | Unsuitable) -> T:
    if isinstance(found, Unsuitable):
        raise found
    return found


def _of_dataset(dataset: int) -> Variant:
    return next(each for each in VARIANTS.values() if each.dataset == dataset)
