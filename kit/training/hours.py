"""How many epochs of a variant end within a time.

In: a variant, its measured rate, and the pairs. Out: the variant with epochs, decay epochs and
validations that take this time together; and how long any variant takes. Refused by name: a time
too short for a single epoch.
"""

import time
from dataclasses import dataclass, replace

import torch

from kit.errors import InputError
from kit.hours import hours_of, seconds_of
from kit.inputs.dataset import steps_per_epoch
from kit.machine.device import pick
from kit.runs.folder import read_variant, saved
from kit.training.ema import RECALIBRATION_BATCHES
from kit.training.memory import to_fit
from kit.training.rates import Rate, measure_rate
from kit.training.setup import RunSetup
from kit.variants.settings import Variant

_VALIDATING = 0.2  # of a training, at most, unless it says how often it validates
_MOST_EPOCHS = 10**6
_SAVING = 0.5  # seconds: two checkpoints, two files of weights and a grid of images


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a training takes from its first step on."""

    first_s: float
    epoch_s: float
    validation_s: float

    def total_s(self, variant: Variant) -> float:
        """Seconds of the whole training of `variant`."""
        validating = variant.total_validations * self.validation_s
        return self.first_s + variant.trained_epochs * self.epoch_s + validating


def cost(variant: Variant, rate: Rate, pairs: int, holdout: int) -> Cost:
    """What a training on so many pairs costs at this rate, validated on a hold-out of so many.

    A validation predicts the hold-out, or one pair without it, by the latest and by the averaged
    weights, each after it has measured the statistics of batch norms again.
    """
    measured = 0
    if variant.norm in ("batch", "sync_batch"):
        measured = min(pairs, RECALIBRATION_BATCHES * variant.batch)
    images = (measured + max(1, holdout)) * (2 if variant.ema else 1)
    return Cost(
        first_s=rate.first_s,
        epoch_s=steps_per_epoch(pairs, variant.batch) * rate.step_s,
        validation_s=images * (rate.image_s + rate.read_s) + _SAVING,
    )


def within(
    variant: Variant, cost: Cost, holdout: int, seconds: float, spent: float = 0.0
) -> Variant:
    """`variant` with the epochs that take so many seconds, its validations included.

    `spent` are those that have passed before, by which an error says how many hours would do. The
    share of its epochs in which the learning rate falls stays what it is. It validates as often as
    it says, or else as usual, unless that takes more than a fifth of the time.

    Raises:
        InputError: not even one epoch and its validation end in this time.
    """
    asked = variant.validations
    if not asked:
        usual = variant.with_validations(holdout).validations
        affordable = int(_VALIDATING * seconds / cost.validation_s)
        asked = max(1, min(usual, affordable))
    left = seconds - cost.first_s
    total = min(_MOST_EPOCHS, int((left - asked * cost.validation_s) / cost.epoch_s))
    if total < asked:  # one after each epoch is all that there can be
        total = int(left / (cost.epoch_s + cost.validation_s))
    if total < 1:
        least = cost.first_s + cost.epoch_s + cost.validation_s
        left_s = max(0.0, seconds)
        problem = (
            f"one epoch and its validation take {least:.3g} s here, and {left_s:.3g} s are left"
        )
        remedy = (
            f"give at least --hours {1.1 * hours_of(spent + least):.2g}, or reduce its "
            "width or crop with --set; trees1 is fitted in seconds"
        )
        raise InputError(variant.name, problem, remedy=remedy)
    falling = min(total - 1, round(total * variant.decay_epochs / variant.total_epochs))
    return replace(
        variant, epochs=total - falling, decay_epochs=falling, validations=min(asked, total)
    )


def in_time(
    setup: RunSetup,
    hours: float,
    started: float,
    *,
    workers: int,
    compile: bool,
    rate: Rate | None = None,
) -> tuple[Variant, Rate | None]:
    """The variant of a run with the epochs that end within `hours`, less a tenth.

    Args:
        setup: the run, which this process has locked. Every rank takes part, and rank 0 decides.
        hours: from `started` on, of `time.monotonic`.
        started: when the command was.
        workers: threads that prepare batches ahead.
        compile: compile the generator with torch.compile.
        rate: how fast that is, where every rank knows it already; None to measure it.

    Returns:
        The variant, and the rate. A run that has saved something goes on with
        the epochs that it was started with, and nothing is measured.

    Raises:
        InputError: not even one epoch ends in time, a step takes more memory than there is, or a
            tile cannot be read.
    """
    folder, group, found = setup.folder, setup.group, setup.variant
    if group.any(group.is_main and saved(folder)):
        if group.is_main:
            found = read_variant(folder)
        rate = None
    else:
        known = rate = rate or _rate(setup, workers, compile)
        found = group.on_all(lambda: _chosen(setup, known, hours, started))
    epochs, falling, validations = group.broadcast(
        [found.epochs, found.decay_epochs, found.validations]
    )
    chosen = replace(setup.variant, epochs=epochs, decay_epochs=falling, validations=validations)
    return chosen, rate


def _rate(setup: RunSetup, workers: int, compile: bool) -> Rate:
    try:
        return measure_rate(setup, workers=workers, compile=compile)
    except (torch.OutOfMemoryError, MemoryError):
        problem = f"a step takes more memory than this machine has ({pick()})"
        raise InputError(setup.variant.name, problem, remedy=to_fit(setup)) from None


def _chosen(setup: RunSetup, rate: Rate, hours: float, started: float) -> Variant:
    pairs, holdout = len(setup.dataset), len(setup.holdout)
    each, spent = cost(setup.variant, rate, pairs, holdout), time.monotonic() - started
    return within(setup.variant, each, holdout, seconds_of(hours) - spent, spent)
