"""Whether a run's generator is compiled by torch.compile: decided at its start, kept in its record.

In: a run's setup, and what was asked. Out: the decision, with a word about it. Where nothing was
asked, a card measures both on a few steps of networks that go. Compiled networks round otherwise,
so a run goes on as it was started, unless it is told not to.
"""

from dataclasses import dataclass, replace

import torch

from kit.machine.device import pick
from kit.runs.folder import read_compiled, saved
from kit.training.compile_error import CompileError
from kit.training.rates import Rate, measure_rate
from kit.training.setup import RunSetup

# A gain within the noise of a measurement is none; and to compile takes minutes.
_PAYS = 1.05
_LEAST_S = 600.0


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to compile the generator, and why; "" where nobody would ask.

    `rate` is how fast that is, where it was measured.
    """

    compile: bool
    why: str = ""
    rate: Rate | None = None


def decide(setup: RunSetup, asked: bool | None, hours: float | None, workers: int) -> Decision:
    """Whether a run is compiled. Every rank takes part.

    Args:
        setup: the run, which rank 0 has locked.
        asked: what the user wants; None to go on as it was started, or else to measure.
        hours: that the run is given; None where its variant says how long it is.
        workers: threads that prepare batches ahead.

    Raises:
        InputError: the run's configuration cannot be read, or a tile.
    """
    group = setup.group
    found = group.on_all(lambda: _before(setup) if group.is_main else (False, False))
    begun, before = map(bool, group.broadcast(found))
    if asked is not None:
        if not begun or asked == before:
            return Decision(asked)
        then, now = ("compiled" if each else "uncompiled" for each in (before, asked))
        return Decision(asked, f"was started {then} and goes on {now}, its numbers will differ")
    if begun:
        return Decision(before, "goes on compiled, as it was started" if before else "")
    # Several ranks would have to measure and fail together.
    if pick().type != "cuda" or group.world_size > 1 or setup.variant.is_fitted:
        return Decision(False)
    return _measured(setup, hours, workers)


def _before(setup: RunSetup) -> tuple[bool, bool]:
    """Whether the run has saved something, and whether it is compiled."""
    begun = saved(setup.folder)
    return begun, begun and read_compiled(setup.folder)


def _measured(setup: RunSetup, hours: float | None, workers: int) -> Decision:
    plain = _rate(setup, workers, compile=False)
    if isinstance(plain, str):
        return Decision(False)  # the training itself says what does not fit
    steps = hours * 3600 / plain.step_s if hours is not None else setup.total_steps
    if steps * plain.step_s < _LEAST_S:
        return Decision(False, rate=plain)
    fast = _rate(setup, workers, compile=True)
    if isinstance(fast, str):
        return Decision(False, f"not compiled: {fast}", plain)
    took = f"a step takes {1000 * fast.step_s:.3g} ms compiled, {1000 * plain.step_s:.3g} ms not"
    gain = steps * (plain.step_s - fast.step_s)
    if plain.step_s / fast.step_s < _PAYS or gain < fast.first_s:
        return Decision(False, f"not compiled: {took}", plain)
    # The training compiles from what this has left on the disk, and this time has passed.
    fast = replace(fast, first_s=plain.first_s)
    return Decision(True, f"compiled by torch.compile: {took}", fast)


def _rate(setup: RunSetup, workers: int, compile: bool) -> Rate | str:
    """How fast steps are, or why there are none."""
    try:
        return measure_rate(setup, workers=workers, compile=compile)
    except torch.OutOfMemoryError:
        return f"{pick()} has too little memory for it"
    except CompileError as error:
        return error.problem
