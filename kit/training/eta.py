"""An estimate of how long a training takes from start to end.

In: the moments at which its steps end, and the duration of a validation. Out: seconds.
"""

import time
from collections.abc import Callable

STEPS = 100
_SIGNIFICANT = 0.1


class TimeEstimate:
    """Reports the duration of a run, and again if the first validation changes it much.

    Args:
        steps: of the whole run.
        validations: of the whole run.
        steps_per_validation: a validation takes about as long, until one has been timed.
        report: called with the estimate in seconds.
    """

    def __init__(
        self,
        steps: int,
        validations: int,
        steps_per_validation: float,
        report: Callable[[float], None],
    ) -> None:
        self._steps = steps
        self._validations = validations
        self._steps_per_validation = steps_per_validation
        self._report = report
        self._done = 0
        self._step_s: float | None = None
        self._validation_s: float | None = None
        self._reported: float | None = None
        self.start()

    def start(self) -> None:
        """Start the clock: the first step follows."""
        self._started = self._first_ended = time.monotonic()

    def step_ended(self) -> None:
        """Count a step; the hundredth gives the estimate."""
        self._done += 1
        if self._done == 1:
            self._first_ended = time.monotonic()
        elif self._done == STEPS:
            self.estimate()

    def estimate(self) -> None:
        """Estimate from the steps so far, unless an earlier call has."""
        if self._done and self._step_s is None:
            now, others = time.monotonic(), self._done - 1
            # The first step warms up, or compiles.
            self._step_s = (now - self._first_ended) / others if others else now - self._started
            self._update()

    def validation_ended(self, seconds: float) -> None:
        """Use the duration of the first validation in place of its guess."""
        if self._validation_s is None:
            self._validation_s = seconds
            self._update()

    def _update(self) -> None:
        if self._step_s is None:
            return
        validation_s = self._validation_s
        if validation_s is None:
            validation_s = self._steps_per_validation * self._step_s
        total = self._steps * self._step_s + self._validations * validation_s
        before = self._reported
        if before is None or abs(total - before) > _SIGNIFICANT * before:
            self._reported = total
            self._report(total)
