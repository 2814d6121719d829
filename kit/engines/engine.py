"""An engine that is ready to run.

In: a folder of the cache, and what was measured of it. Out: a function from SAR to RGB that loads
its files when it is first called, and runs smaller batches where the device's memory is short.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kit.engines.accuracy import REFERENCE
from kit.engines.backend import OUT_OF_MEMORY, Backend, Plan, Spec
from kit.engines.backends import eager
from kit.engines.cache import Measurement
from kit.errors import InputError
from kit.models.infer import Forward
from kit.progress import Report
from kit.runs.weights import Weights


class Engine:
    """A generator that is ready to predict tiles of one size, in calls of `batch`.

    `rate` is what was measured, in images/s; 0 if nothing was. `accuracy` compares it with eager
    float32. `plan` may have a smaller batch than calls have, where the device's memory is short.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        spec: Spec,
        folder: Path,
        measurement: Measurement,
        weights: Weights,
        report: Report = lambda _: None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.folder = folder
        self.plan = measurement.plan
        self.batch = measurement.plan.batch
        self._measured = measurement.plan
        self.rate = measurement.rate
        self.accuracy = measurement.accuracy
        self._backend = backend
        self._weights = weights
        self._report = report
        self._run: Forward | None = None

    @classmethod
    def eager(
        cls, weights: Weights, size: tuple[int, int], report: Report = lambda _: None
    ) -> "Engine":
        """The generator as it was trained, which needs no build."""
        measurement = Measurement(eager.plans()[0], 0, REFERENCE)
        spec = Spec("float32", *size, channels=weights.variant.input_channels)
        return cls("eager", eager, spec, Path(), measurement, weights, report)

    def fits(self, height: int, width: int) -> bool:
        """Whether it accepts tiles of this size."""
        return (height, width) == (self.spec.height, self.spec.width)

    def __call__(self, sar: Tensor) -> Tensor:
        """Inputs [batch, C, H, W] in [-1, 1] to RGB [batch, 3, H, W] in [-1, 1], on its device.

        Where the device's memory no longer holds a batch, the batch is run in equal parts.

        Raises:
            InputError: the memory does not hold a single tile.
        """
        shape = (self.batch, self.spec.channels, self.spec.height, self.spec.width)
        name = self._weights.variant.name
        assert sar.shape == shape, f"{name}: accepts batches of {[*shape]}, not of {[*sar.shape]}"
        while True:
            try:
                if self._run is None:
                    self._run = self._load()
                if self.plan.batch == self.batch:
                    return self._run(sar)
                parts = range(0, self.batch, self.plan.batch)
                return torch.cat([self._run(sar[at : at + self.plan.batch]) for at in parts])
            except OUT_OF_MEMORY:
                pass  # only after the handler is what the failed call held free again
            self._halve()

    def release(self) -> None:
        """Give the device's memory back; the next call loads it again, as it was measured."""
        self._run, self.plan = None, self._measured
        torch.cuda.empty_cache()

    def describe(self) -> dict[str, Any]:
        """The engine as a manifest records it: the last digits of an image may depend on this."""
        return {
            "name": self.name,
            "version": self._backend.version(),
            "device": self._backend.device(),
            "precision": self.spec.precision,
            **asdict(self.plan),
            "gate": asdict(self.accuracy),
        }

    def _load(self) -> Forward:
        return self._backend.load(
            self.folder, self.spec, self.plan, lambda: self._weights.generator
        )

    def _halve(self) -> None:
        batch = self.plan.batch
        self._run = None
        torch.cuda.empty_cache()
        if batch == 1:
            instead = ", or predict with --backend eager"
            raise InputError(
                self._backend.device(),
                f"has too little memory for one tile of {self.spec.height}x{self.spec.width}",
                remedy="end other programs that use it" + (instead if self.name != "eager" else ""),
            )
        # Parts of equal size, because an engine is loaded for one batch size.
        fewer = max(count for count in range(1, batch // 2 + 1) if batch % count == 0)
        self.plan = Plan(fewer)
        name = self._weights.variant.name
        self._report(f"{name}: too little memory for batches of {batch}; continuing with {fewer}")
