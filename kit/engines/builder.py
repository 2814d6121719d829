"""The engines of one generator: built, measured, checked, cached.

In: trained weights, a request, tiles. Out: engines. Those in the cache are used as they are; others
are built, run in several ways to find the fastest, and compared with eager float32.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.engines.accuracy import ANY, REFERENCE, Accuracy, Samples, compare
from kit.engines.backend import OUT_OF_MEMORY, Plan, Spec
from kit.engines.cache import Entry, Measurement, checked, find, obtain, rated
from kit.engines.engine import Engine
from kit.engines.registry import BACKENDS
from kit.engines.request import PRECISIONS, Precision, Request
from kit.engines.throughput import CLOCK, Clock, fastest_plan, side_by_side
from kit.errors import CheckError, InputError, OutputError
from kit.machine.cores import cores, processor
from kit.machine.device import pick, rounds_to_tf32
from kit.models.infer import Forward, infer_batches
from kit.models.rewrites.fuse import for_inference
from kit.progress import Report
from kit.runs.weights import Weights
from kit.scaling import to_signed

# Rates that were measured one after the other may be wrong by this factor on a busy machine.
_NEAR = 2
_COARSEST = 128  # pixels along a side of a cell, where SPADE's depth is "most"


@dataclass
class Builder:
    """Builds the engines of one generator for one size of tile, each at most once.

    Args:
        weights: of the generator.
        size: height and width of a tile.
        request: its tolerance and fallback apply.
        cache: the folder of engines.
        sample: returns the tiles to check and calibrate with; called if an engine has to be built.
        report: takes a line about each step and its reason.
        pairs: the digest of the table of pairs that `sample` chooses from, "" if there is none:
            with another, engines are compared again.
        clock: what rates are measured with.
    """

    weights: Weights
    size: tuple[int, int]
    request: Request
    cache: Path
    sample: Callable[[], Samples]
    report: Report
    pairs: str = ""
    clock: Clock = CLOCK
    # To find an entry takes reading every byte of it.
    _entries: dict[tuple[str, Spec], Entry] = field(default_factory=dict)
    # Of those that were built with no other tiles than they are checked with.
    _checked_as_calibrated: set[tuple[str, Spec]] = field(default_factory=set)
    _unknown: bool = False  # how much some engine changes the MAE

    def engine(self, name: str, precision: Precision) -> Engine:
        """The engine, from the cache or built, measured and checked."""
        spec = self._spec(precision)
        entry = self.build(name, spec)
        rate_of = partial(self._rate, name, spec)
        plan, rate = rated(entry, self._machine(name), rate_of, self.report)
        compare_it = partial(self._compare, name, spec, plan)
        accuracy = checked(entry, self.pairs, self._has_truth, compare_it, self.report)
        measurement = Measurement(plan, rate, accuracy)
        return Engine(
            name, BACKENDS[name], spec, entry.folder, measurement, self.weights, self.report
        )

    def build(self, name: str, spec: Spec) -> Entry:
        """The engine's folder, built if it is not in the cache."""
        if (name, spec) not in self._entries:
            build = partial(self._build, name, spec)
            label, key = self._label(name, spec), self._key(name, spec)
            self._entries[name, spec] = obtain(self.cache, label, key, build, self.report)
        return self._entries[name, spec]

    def is_built(self, name: str, precision: Precision) -> bool:
        """Whether the engine is in the cache."""
        spec = self._spec(precision)
        entry = self._entries.get((name, spec)) or find(
            self.cache, self._label(name, spec), self._key(name, spec), lambda _: None
        )
        if entry:
            self._entries[name, spec] = entry
        return entry is not None

    def passing(self, name: str, precision: Precision) -> Engine | None:
        """The engine, or None, with the reason reported, if it cannot be built or fails the check.

        Failing means to change the MAE by more than the request's tolerance.
        """
        try:
            engine = self.engine(name, precision)
        except InputError as error:
            self.report(f"{self._what(name, precision)}: skipped: {error.where}: {error.problem}")
            return None
        if not self._admits(engine):
            self.report(f"{self._what(name, precision)}: skipped: {engine.accuracy}")
            return None
        return engine

    def requested(self, name: str, precision: Precision) -> Engine:
        """The engine that was asked for, or with `--fallback` one of a higher precision.

        Raises:
            CheckError: it changes the MAE by more than the request's tolerance.
        """
        engine = self.engine(name, precision)
        if self._admits(engine):
            return engine
        higher = PRECISIONS[PRECISIONS.index(precision) + 1 :]
        supported = [each for each in higher if each in BACKENDS[name].precisions()]
        if not self.request.fallback or not supported:
            raise CheckError(self.refusal(f"{name} in {precision}: {engine.accuracy}"))
        self.report(
            f"{self._what(name, precision)} is refused ({engine.accuracy}); "
            f"continuing with {supported[0]}"
        )
        return self.requested(name, supported[0])

    def refusal(self, problem: str) -> str:
        """The message for engines that fail the accuracy check."""
        remedy = (
            f"a change of the MAE by more than {100 * self.request.tolerance:g} % is refused: "
            "give --fallback or another --precision, or raise --tolerance"
        )
        if self._unknown:
            height, width = self.size
            remedy = (
                f"prepare pairs of {height}x{width} (kit prepare), whose hold-out it is measured "
                "on, predict with --backend eager --precision float32, or admit it unmeasured by "
                f"--tolerance {ANY:g}"
            )
        return f"{self.weights.variant.name}: {problem}\n  {remedy}"

    def _admits(self, engine: Engine) -> bool:
        """Whether it is eager float32, rounded to TF32 or not, or changes the MAE by little."""
        self._unknown = self._unknown or engine.accuracy.change is None
        reference = (engine.name, engine.spec.precision) == ("eager", "float32")
        return reference or engine.accuracy.passes(self.request.tolerance)

    def fastest(self, engines: Sequence[Engine]) -> Engine:
        """The fastest of several; those of similar rates are measured again, side by side."""
        highest = max(engine.rate for engine in engines)
        near = [engine for engine in engines if engine.rate > highest / _NEAR]
        if len(near) == 1:
            return near[0]
        height, width = self.size
        label = f"{self.weights.variant.name}-rates-{height}x{width}"
        key = {
            "engines": [self._key(each.name, each.spec) for each in near],
            "machine": [self._machine(each.name) for each in near],
        }
        rates: list[float] = []

        def measure(_: Path) -> dict[str, Any]:
            rates[:] = self._rates(near)
            return {"rates": rates}

        try:
            rates = obtain(self.cache, label, key, measure, self.report).facts["rates"]
        except OutputError:  # engines may be shared by machines that cannot add to them
            rates = rates or self._rates(near)
        return near[rates.index(max(rates))]

    def _rates(self, engines: Sequence[Engine]) -> list[float]:
        """Images/s of each engine: on a processor in turns, on a card one after the other.

        A card that holds each of them may not hold all.
        """
        if pick().type == "cpu":
            runs = [(engine, engine.batch) for engine in engines]
            return side_by_side(runs, self._samples.inputs, self.clock)
        rates = []
        for engine in engines:
            rates += side_by_side([(engine, engine.batch)], self._samples.inputs, self.clock)
            engine.release()
        return rates

    @cached_property
    def _samples(self) -> Samples:
        return self.sample()

    @cached_property
    def _expected(self) -> NDArray[np.float32]:
        """What eager float32 predicts for the samples; no convolution is rounded to TF32."""
        source = self._samples.source
        self.report(f"{self.weights.variant.name}: predicting {source} with eager float32")
        eager = Engine.eager(self.weights, self.size)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return infer_batches(eager, self._samples.inputs, eager.batch)

    def _build(self, name: str, spec: Spec, folder: Path) -> dict[str, Any]:
        if name == "eager":
            return {}
        what = self._what(name, spec.precision)
        self.report(f"{what}: building for tiles of {spec.height}x{spec.width}")
        start = time.monotonic()
        variant = self.weights.variant
        generator = for_inference(
            self.weights.generator, f"{variant.name}: the generator", variant.input_channels
        )
        try:
            BACKENDS[name].build(generator, spec, folder, self._calibration(name, spec))
        except OUT_OF_MEMORY as error:
            raise InputError(
                BACKENDS[name].device(),
                f"has too little memory to build {name} in {spec.precision} ({error})",
                remedy="end other programs that use it, or predict with --backend eager",
            ) from error
        return {"build_s": round(time.monotonic() - start, 1)}

    def _calibration(self, name: str, spec: Spec) -> Tensor:
        """Tiles in [-1, 1] to calibrate int8 with; none for other precisions."""
        if spec.precision != "int8":
            return torch.empty(0, spec.channels, spec.height, spec.width)
        tiles = self._samples.calibration
        if tiles is self._samples.inputs:
            self._checked_as_calibrated.add((name, spec))
        return to_signed(torch.from_numpy(tiles))

    def _rate(self, name: str, spec: Spec, folder: Path) -> tuple[Plan, float]:
        """The fastest plan and its images/s."""
        load = partial(self._load, name, spec, folder)
        backend = BACKENDS[name]
        plan, rate = fastest_plan(
            load, backend.plans(), self._samples.inputs, backend.device(), self.clock
        )
        if name != "eager":
            what = self._what(name, spec.precision)
            self.report(f"{what}: {rate:.3g} images/s in batches of {plan.batch}")
        return plan, rate

    def _compare(self, name: str, spec: Spec, plan: Plan, folder: Path) -> Accuracy:
        rounds = pick().type == "cuda" and rounds_to_tf32()
        if (name, spec.precision) == ("eager", "float32") and not rounds:
            return REFERENCE
        run = self._load(name, spec, folder, plan)
        found = infer_batches(run, self._samples.inputs, plan.batch)
        accuracy = compare(self._samples, self._expected, found)
        if (name, spec) in self._checked_as_calibrated:
            accuracy = replace(accuracy, source=f"{accuracy.source}, which it is calibrated with")
        self.report(f"{self._what(name, spec.precision)}: {accuracy}")
        return accuracy

    def _load(self, name: str, spec: Spec, folder: Path, plan: Plan) -> Forward:
        torch.cuda.empty_cache()  # an engine's memory is not torch's
        return BACKENDS[name].load(folder, spec, plan, lambda: self.weights.generator)

    def _has_truth(self) -> bool:
        """Whether there are tiles with truths to compare on."""
        try:
            return self._samples.optical is not None
        except InputError:  # there is no tile at all
            return False

    def _machine(self, name: str) -> str:
        """What rates are kept under, beside the key of an engine: another has other rates."""
        if pick().type == "cuda":
            # Some engines are of an architecture, whose cards differ.
            return f"{torch.cuda.get_device_name()}, {BACKENDS[name].device()}"
        return f"{processor()}, {cores()} cores"

    def _spec(self, precision: Precision) -> Spec:
        return Spec(precision, *self.size, channels=self.weights.variant.input_channels)

    def _what(self, name: str, precision: Precision) -> str:
        return f"{self.weights.variant.name}: {name} in {precision}"

    def _label(self, name: str, spec: Spec) -> str:
        return f"{self.weights.variant.name}-{name}-{spec.precision}-{spec.height}x{spec.width}"

    def _key(self, name: str, spec: Spec) -> dict[str, Any]:
        """Everything that decides whether one engine can replace another; see `cache.obtain`."""
        backend = BACKENDS[name]
        # Before 0.3.0 SPADE padded such a tile, so engines of then are others.
        small = self.weights.variant.model == "spade" and min(self.size) <= _COARSEST
        return {
            **({"cells": "as published"} if small else {}),
            "weights_sha256": self.weights.sha256,
            "backend": name,
            "version": backend.version(),
            "device": backend.targets()[spec.target] if spec.target else backend.device(),
            "precision": spec.precision,
            "size": list(self.size),
        }
