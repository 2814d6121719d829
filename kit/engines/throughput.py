"""How many tiles in a second: of one engine in several ways, of several engines side by side.

In: functions from SAR to RGB, radar tiles, a clock. Out: images/s, and the plan that is fastest.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kit.engines.backend import OUT_OF_MEMORY, Plan
from kit.errors import InputError
from kit.models.infer import Forward, infer_batches

Clock = Callable[[], float]
"""Returns a time in seconds; only differences count."""

CLOCK: Clock = time.perf_counter
_ROUNDS = 2
_LONG = 5  # seconds of a call that need no second measurement


def fastest_plan(
    load: Callable[[Plan], Forward],
    plans: Sequence[Plan],
    inputs: NDArray[np.float32],
    device: str,
    clock: Clock = CLOCK,
) -> tuple[Plan, float]:
    """The plan with the highest rate, and that rate in images/s.

    Plans for which the device has too little memory are skipped.

    Args:
        load: makes the function that a plan runs.
        plans: which to measure.
        inputs: tiles [N, C, H, W] in [0, 1], repeated to fill a batch.
        device: what an error names as the device that it is measured on.
        clock: what is measured with.

    Raises:
        InputError: the device has too little memory for every plan.
    """
    rates: dict[Plan, float] = {}
    for plan in plans:
        tiles = np.resize(inputs, (plan.batch, *inputs.shape[1:]))
        seconds: list[float] = []
        run: Forward | None = None  # the plan before it gives its memory back
        try:
            run = load(plan)
            for _ in range(1 + _ROUNDS):  # the first warms up
                seconds.append(_seconds(run, tiles, clock))
                if len(seconds) > 1 and seconds[-1] > _LONG:
                    break
        except OUT_OF_MEMORY:
            continue
        rates[plan] = plan.batch / min(seconds[1:])
    if not rates:
        raise InputError(
            device,
            f"has too little memory for one tile of {inputs.shape[2]}x{inputs.shape[3]}",
            remedy="end other programs that use it, or predict with --backend eager",
        )
    best = max(rates, key=lambda plan: rates[plan])
    return best, rates[best]


def side_by_side(
    engines: Sequence[tuple[Forward, int]], inputs: NDArray[np.float32], clock: Clock = CLOCK
) -> list[float]:
    """Images/s of each engine, measured in turns, so that other work on the machine slows all.

    Args:
        engines: functions from SAR to RGB, each with the batch that it takes.
        inputs: tiles [N, C, H, W] in [0, 1], repeated to fill a batch.
        clock: what is measured with.
    """
    seconds: list[list[float]] = [[] for _ in engines]
    for _ in range(1 + _ROUNDS):
        for (run, batch), times in zip(engines, seconds, strict=True):
            tiles = np.resize(inputs, (batch, *inputs.shape[1:]))
            times.append(_seconds(run, tiles, clock))
    return [batch / min(times[1:]) for (_, batch), times in zip(engines, seconds, strict=True)]


def _seconds(run: Forward, tiles: NDArray[np.float32], clock: Clock) -> float:
    start = clock()
    infer_batches(run, tiles)
    return clock() - start
