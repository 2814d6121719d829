"""The records of a training: losses, validations and notes, written down and reported.

In: each step's losses, each validation's scores. Out: `metrics.jsonl`, and calls of `Watch`.
"""

import time
from collections.abc import Callable
from typing import Any

from kit.runs.records import append_record
from kit.training.eta import TimeEstimate
from kit.training.setup import RunSetup
from kit.training.state import State

LOG_EVERY = 10

Watch = Callable[[dict[str, Any]], None]
"""Called with each record of `metrics.jsonl`, and with three that are only reported: a `note`;
`whole_s`, the estimated duration of the whole run in seconds; and how far a fit is, as `done`,
`total` and `words`."""


class RunLog:
    """Records the training of `state`; rank 0 writes and reports."""

    def __init__(self, setup: RunSetup, state: State, watch: Watch | None) -> None:
        self._setup = setup
        self._state = state
        self._watch = watch if setup.group.is_main else None
        self._estimate = TimeEstimate(
            setup.total_steps,
            setup.variant.total_validations,
            setup.steps_per_validation,
            lambda seconds: self._report({"whole_s": seconds}),
        )
        self._images = 0
        self._flushed = time.monotonic()

    def start(self) -> None:
        """Start the clocks: the first step follows."""
        self._estimate.start()
        self._flushed = time.monotonic()

    def note(self, text: str) -> None:
        """Report something that need not be recorded."""
        self._report({"note": text})

    def chosen_by_hours(self, hours: float, step_s: float) -> None:
        """Record, before the first step, the hours that chose the epochs, and a step's seconds."""
        self._record({"hours": hours, "step_s": round(step_s, 6)})

    def step(self, losses: dict[str, float], images: int) -> None:
        """Add the losses of a step on `images`; every `LOG_EVERY` steps, record their means."""
        self._images += images
        self._estimate.step_ended()
        spikes = {name: value for name, value in losses.items() if name.endswith("_spike")}
        if spikes:
            self._record(spikes)
        means = {name: value for name, value in losses.items() if name not in spikes}
        for name, value in {"steps": 1.0, **means}.items():
            self._state.sums[name] = self._state.sums.get(name, 0.0) + value
        if self._state.step % LOG_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Record the mean losses since the last record."""
        sums, self._state.sums = self._state.sums, {}
        if sums:
            steps = sums.pop("steps")
            rate = self._images / (time.monotonic() - self._flushed)
            means = {name: value / steps for name, value in sums.items()}
            self._record(means | {"images_per_s": round(rate, 2)})
        self._flushed, self._images = time.monotonic(), 0

    def validation_starts(self) -> None:
        """Estimate the run's duration from the steps so far: no more follow for a while."""
        self._estimate.estimate()

    def validation(self, scores: dict[str, Any], seconds: float) -> None:
        """Record the scores of a validation that took `seconds`."""
        row = scores | {"validation_s": round(seconds, 2)}
        self._setup.group.on_main(lambda: self._record(row))

    def ended_early(self) -> None:
        """Record that training ends before its schedule does, after which patience with what."""
        row: dict[str, Any] = {"patience": self._setup.variant.patience}
        if self._state.counts == "mse":
            row["counts"] = "mse"
        self._setup.group.on_main(lambda: self._record(row))

    def validation_ended(self, seconds: float) -> None:
        """Go on with the clocks after a validation that took `seconds`, saving included."""
        self._flushed = time.monotonic()
        self._estimate.validation_ended(seconds)

    def _record(self, values: dict[str, Any]) -> None:
        state = self._state
        if self._setup.group.is_main:
            steps = {"step": state.step, "steps": self._setup.total_steps, "epoch": state.epoch}
            record = steps | values
            state.recorded = append_record(self._setup.folder, record)
            self._report(record)

    def _report(self, record: dict[str, Any]) -> None:
        if self._watch:
            self._watch(record)
