"""How long a training takes as a whole.

In: the moments at which its steps end, and how long a validation took. Out: an estimate in seconds.
"""

import time
from collections.abc import Callable

STEPS = 100
_WORTH_TELLING = 0.1


class Pace:
    """Tells how long a run takes as a whole, and again if the first validation changes that.

    Args:
        steps: of the whole run.
        validations: of the whole run.
        guess: how many steps one validation takes, until one has been timed.
        report: called with the estimate in seconds.
    """

    def __init__(
        self, steps: int, validations: int, guess: float, report: Callable[[float], None]
    ) -> None:
        self._steps = steps
        self._validations = validations
        self._guess = guess
        self._report = report
        self._began = self._first = time.monotonic()
        self._taken = 0
        self._step_s: float | None = None
        self._validation_s: float | None = None
        self._told: float | None = None

    def step(self) -> None:
        """A step has ended."""
        self._taken += 1
        if self._taken == 1:
            self._first = time.monotonic()
        elif self._taken == STEPS:
            self.settle()

    def settle(self) -> None:
        """No more steps for now: those that were taken have to do."""
        if self._taken and self._step_s is None:
            now, others = time.monotonic(), self._taken - 1
            # The first step warms up, or compiles.
            self._step_s = (now - self._first) / others if others else now - self._began
            self._estimate()

    def validated(self, seconds: float) -> None:
        """A validation took so long."""
        if self._validation_s is None:
            self._validation_s = seconds
            self._estimate()

    def _estimate(self) -> None:
        if self._step_s is None:
            return
        each = self._validation_s
        each = self._guess * self._step_s if each is None else each
        whole = self._steps * self._step_s + self._validations * each
        if self._told is None or abs(whole - self._told) > _WORTH_TELLING * self._told:
            self._told = whole
            self._report(whole)
