"""A built engine, ready to draw.

In: an entry of the cache. Out: a function from SAR to RGB that says what it is, loads itself when
it is first called, and takes smaller batches where the device has no room for whole ones.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kit.engines.accuracy import REFERENCE, Verdict
from kit.engines.backend import Backend, Plan, Spec
from kit.engines.backends import eager
from kit.engines.cache import Entry
from kit.errors import InputError
from kit.models.infer import Forward
from kit.progress import Report
from kit.runs.weights import Weights

NO_ROOM = (MemoryError, torch.OutOfMemoryError)


class Engine:
    """A generator that is ready to draw tiles of one size, in calls of `batch`."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        spec: Spec,
        entry: Entry,
        weights: Weights,
        report: Report = lambda _: None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.plan = Plan(**entry.about["plan"])
        self.batch = self.plan.batch
        self.rate = float(entry.about["rate"])
        self.verdict = Verdict(**entry.about["gate"])
        self._backend = backend
        self.folder = entry.folder
        self._weights = weights
        self._report = report
        self._run: Forward | None = None

    @classmethod
    def eager(
        cls, weights: Weights, size: tuple[int, int], report: Report = lambda _: None
    ) -> "Engine":
        """The generator as it was trained, which needs no building."""
        plan = asdict(eager.plans()[0])
        entry = Entry(Path(), {"plan": plan, "rate": 0, "gate": REFERENCE.as_dict()})
        return cls("eager", eager, Spec("float32", *size), entry, weights, report)

    def fits(self, height: int, width: int) -> bool:
        """Whether it takes tiles of this size."""
        return (height, width) == (self.spec.height, self.spec.width)

    def __call__(self, sar: Tensor) -> Tensor:
        """SAR [batch, 2, H, W] in [-1, 1] to RGB [batch, 3, H, W] in [-1, 1], on the CPU.

        Where the device has no room for a whole batch any more, it is drawn in parts.

        Raises:
            InputError: the batch has another shape, or there is no room for a single tile.
        """
        shape = (self.batch, 2, self.spec.height, self.spec.width)
        if sar.shape != shape:
            problem = f"takes batches of {[*shape]}, not of {[*sar.shape]}"
            raise InputError(f"the engine of {self._weights.variant.name}", problem)
        while True:
            try:
                if self._run is None:
                    self._run = self._load()
                parts = range(0, self.batch, self.plan.batch)
                return torch.cat([self._run(sar[at : at + self.plan.batch]) for at in parts])
            except NO_ROOM:
                pass  # only after the handler is what the failed call held free again
            self._halve()

    def describe(self) -> dict[str, Any]:
        """What a manifest says of it: the last digits of a picture may depend on all of this."""
        return {
            "name": self.name,
            "version": self._backend.version(),
            "device": self._backend.device(),
            "precision": self.spec.precision,
            **asdict(self.plan),
            "gate": self.verdict.as_dict(),
        }

    def _load(self) -> Forward:
        return self._backend.load(
            self.folder, self.spec, self.plan, lambda: self._weights.generator
        )

    def _halve(self) -> None:
        batch = self.plan.batch
        self._run = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if batch == 1:
            instead = ", or predict with --backend eager"
            raise InputError(
                self._backend.device(),
                f"has no room for one tile of {self.spec.height}x{self.spec.width}",
                remedy="end what else runs on it" + (instead if self.name != "eager" else ""),
            )
        # Parts of equal size, because an engine is loaded for one.
        fewer = max(count for count in range(1, batch // 2 + 1) if batch % count == 0)
        self.plan = Plan(fewer)
        name = self._weights.variant.name
        self._report(f"{name}: no room for {batch} tiles at a time; going on with {fewer}")
