"""Which engine draws: the one asked for, or the fastest that may stand for eager float32.

In: trained weights, the size of a tile, and what the user wishes. Out: an `Engine`. What has been
built and measured before is taken from the cache; the rest is built, run in several ways to find
the fastest, compared with eager float32, and kept.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kit.engines.accuracy import REFERENCE, Samples, compare
from kit.engines.backend import Plan, Spec
from kit.engines.cache import Entry, amend, find, obtain
from kit.engines.engine import NO_ROOM, Engine
from kit.engines.registry import BACKENDS, automatic, find_backend
from kit.engines.request import AUTO, PRECISIONS, Precision, Request
from kit.errors import CheckError, InputError
from kit.models.infer import Forward, infer_batches
from kit.models.rewrites.fuse import for_inference
from kit.progress import Report
from kit.runs.weights import Weights
from kit.scaling import to_signed

# Seconds that eager takes for all there is to predict, below which nothing is built for it.
_WORTHWHILE = 60
_ROUNDS = 2
_LONG = 5  # seconds of a call that need no second measurement
# Rates that were measured one after the other differ by as much where other work comes and goes.
_NEAR = 2


def choose(
    weights: Weights,
    size: tuple[int, int],
    request: Request,
    *,
    cache: Path,
    samples: Callable[[], Samples],
    report: Report,
    scenes: int | None = None,
    before: Sequence[Mapping[str, Any]] = (),
) -> Engine:
    """The engine for these weights and this size of tile.

    Args:
        weights: what it draws with.
        size: height and width of a tile.
        request: what the user asks for.
        cache: the folder of engines.
        samples: gives the tiles to try engines on; called if one has to be built.
        report: takes a line about what is done and why.
        scenes: how many there are to predict; for a few, nothing is built that was not asked for.
        before: what `describe` said of the engines that drew a part of them already; the last of
            these is taken where nothing else is asked for.

    Raises:
        InputError: what is asked for is unknown, not installed, or not what this machine can do.
        CheckError: the engine asked for, or every one, changes the MAE too much.
    """
    shop = _Shop(weights, size, request, cache, samples, report)
    wanted = candidates(request)
    if request.backend == AUTO:
        recorded = [(each.get("name"), each.get("precision")) for each in before]
        again = [each for each in wanted if each in recorded[-1:]]
        if again:
            wanted = again
        elif scenes is not None and ("eager", "float32") in wanted:
            eager = shop.engine("eager", "float32")
            missing = [each for each in wanted if not shop.cached(*each)]
            if missing and scenes < _WORTHWHILE * eager.rate:
                seconds = max(1, round(scenes / eager.rate))
                report(f"{weights.variant.name}: eager, as {scenes} tiles take about {seconds} s; "
                     "kit compile would build an engine")  # fmt: skip
                return eager
    if len(wanted) == 1:
        return shop.strict(*wanted[0])
    passing = [engine for each in wanted if (engine := shop.passing(*each))]
    if not passing:
        raise CheckError(shop.refusal(request.precision, "no engine passes the accuracy gate"))
    best = shop.fastest(passing)
    report(f"{weights.variant.name}: {best.name} in {best.spec.precision}, the fastest of "
         f"{len(passing)} that may stand for eager float32")  # fmt: skip
    return best


def build_for(
    target: str,
    weights: Weights,
    size: tuple[int, int],
    request: Request,
    *,
    cache: Path,
    samples: Callable[[], Samples],
    report: Report,
) -> Path:
    """Build an engine for another machine; that is where it will be measured and compared.

    Args:
        target: one of the backend's.
        weights: what it draws with.
        size: height and width of a tile.
        request: names the backend and the precision.
        cache: the folder of engines, to be copied to the other machine with the runs.
        samples: gives the tiles to calibrate on.
        report: takes a line about what is done.

    Raises:
        InputError: the backend has no such target, or one of the two is not named.
    """
    if AUTO in (request.backend, request.precision) or request.precision not in PRECISIONS:
        raise InputError(
            f"--target {target}",
            "what is best there cannot be measured here",
            remedy=f"name the --backend and the --precision, one of {', '.join(PRECISIONS)}",
        )
    find_backend(request.backend, target)
    shop = _Shop(weights, size, request, cache, samples, report)
    return shop.build(request.backend, Spec(request.precision, *size, target)).folder


def candidates(request: Request) -> list[tuple[str, Precision]]:
    """The backends and precisions of this machine that a request admits.

    Raises:
        InputError: what is asked for is unknown, not installed, or not what this machine can do.
    """
    if request.precision not in (AUTO, *PRECISIONS):
        known = ", ".join((AUTO, *PRECISIONS))
        raise InputError(request.precision, "no such precision", remedy=f"known are {known}")
    found: list[tuple[str, Precision]] = []
    for name in automatic() if request.backend == AUTO else (request.backend,):
        try:
            able = find_backend(name).precisions()
        except InputError:
            if request.backend != AUTO:
                raise
            continue
        found += [(name, each) for each in able if request.precision in (AUTO, each)]
    if not found:
        problem = f"no backend here computes in {request.precision}"
        if request.backend != AUTO:
            problem = f"does not compute in {request.precision} on this machine"
        raise InputError(request.backend, problem, remedy="kit doctor lists what there is")
    return found


@dataclass
class _Shop:
    """Where engines of one generator are built, each at most once, and compared."""

    weights: Weights
    size: tuple[int, int]
    request: Request
    cache: Path
    sample: Callable[[], Samples]
    report: Report
    # Finding one reads every byte of it.
    _entries: dict[tuple[str, Spec], Entry] = field(default_factory=dict)

    def engine(self, name: str, precision: Precision) -> Engine:
        """The engine, from the cache or built, measured and compared."""
        spec = Spec(precision, *self.size)
        entry = self.build(name, spec)
        amend(entry, "plan", partial(self._measure, name, spec), self.report)
        return Engine(name, BACKENDS[name], spec, entry, self.weights, self.report)

    def build(self, name: str, spec: Spec) -> Entry:
        """The engine's files, built if they are not there."""
        if (name, spec) not in self._entries:
            make = partial(self._make, name, spec)
            label, key = self._label(name, spec), self._key(name, spec)
            self._entries[name, spec] = obtain(self.cache, label, key, make, self.report)
        return self._entries[name, spec]

    def cached(self, name: str, precision: Precision) -> bool:
        """Whether the engine need not be built."""
        spec = Spec(precision, *self.size)
        entry = self._entries.get((name, spec)) or find(
            self.cache, self._label(name, spec), self._key(name, spec), lambda _: None
        )
        if entry:
            self._entries[name, spec] = entry
        return entry is not None

    def passing(self, name: str, precision: Precision) -> Engine | None:
        """The engine, unless it cannot be built here or the gate refuses it; says why."""
        what = f"{self.weights.variant.name}: {name} in {precision}"
        try:
            engine = self.engine(name, precision)
        except InputError as error:
            self.report(f"{what} is left out: {error.where}: {error.problem}")
            return None
        if not engine.verdict.passes(self.request.tolerance):
            self.report(f"{what} is left out: {engine.verdict}")
            return None
        return engine

    def fastest(self, engines: Sequence[Engine]) -> Engine:
        """The fastest of several; those that are near to it are measured again, side by side."""
        most = max(engine.rate for engine in engines)
        near = [engine for engine in engines if engine.rate > most / _NEAR]
        if len(near) == 1:
            return near[0]
        height, width = self.size
        entry = obtain(
            self.cache,
            f"{self.weights.variant.name}-rates-{height}x{width}",
            {"engines": [self._key(each.name, each.spec) for each in near]},
            lambda _: {"rates": _side_by_side(near, self.samples.radar)},
            self.report,
        )
        rates: list[float] = entry.about["rates"]
        return near[rates.index(max(rates))]

    def strict(self, name: str, precision: Precision) -> Engine:
        """The engine asked for, or with `--fallback` one of a higher precision.

        Raises:
            CheckError: the gate refuses it.
        """
        engine = self.engine(name, precision)
        if engine.verdict.passes(self.request.tolerance):
            return engine
        higher = PRECISIONS[PRECISIONS.index(precision) + 1 :]
        able = [each for each in higher if each in BACKENDS[name].precisions()]
        if not self.request.fallback or not able:
            raise CheckError(self.refusal(precision, f"{name} in {precision}: {engine.verdict}"))
        self.report(f"{self.weights.variant.name}: {name} in {precision} is refused "
                  f"({engine.verdict}); going on in {able[0]}")  # fmt: skip
        return self.strict(name, able[0])

    def refusal(self, precision: str, problem: str) -> str:
        """The gate's words: what it allows, and what can be done."""
        return (
            f"{self.weights.variant.name}: {problem}\n"
            f"  more than {self.request.tolerance:g} of the MAE is refused: give --fallback for a "
            "higher precision, name one with --precision, or admit more with --tolerance"
        )

    @cached_property
    def samples(self) -> Samples:
        """The tiles to try engines on."""
        return self.sample()

    @cached_property
    def expected(self) -> NDArray[np.float32]:
        """What eager float32 draws of the tiles to compare on."""
        self.report(
            f"{self.weights.variant.name}: drawing {self.samples.source} with eager float32"
        )
        eager = Engine.eager(self.weights, self.size)
        return infer_batches(eager, self.samples.radar, eager.batch)

    def _label(self, name: str, spec: Spec) -> str:
        return f"{self.weights.variant.name}-{name}-{spec.precision}-{spec.height}x{spec.width}"

    def _key(self, name: str, spec: Spec) -> dict[str, Any]:
        backend = BACKENDS[name]
        return {
            "weights_sha256": self.weights.sha256,
            "backend": name,
            "version": backend.version(),
            "device": backend.targets()[spec.target] if spec.target else backend.device(),
            "precision": spec.precision,
            "size": list(self.size),
        }

    def _make(self, name: str, spec: Spec, folder: Path) -> dict[str, Any]:
        if name == "eager":
            return {}
        what = f"{self.weights.variant.name}: {name} in {spec.precision}"
        self.report(f"{what}: building for tiles of {spec.height}x{spec.width}")
        began = time.monotonic()
        calibration = to_signed(torch.from_numpy(self.samples.calibration))
        generator = for_inference(self.weights.generator)
        BACKENDS[name].build(generator, spec, folder, calibration)
        return {"build_s": round(time.monotonic() - began, 1)}

    def _measure(self, name: str, spec: Spec, folder: Path) -> dict[str, Any]:
        backend = BACKENDS[name]

        def load(plan: Plan) -> Forward:
            return backend.load(folder, spec, plan, lambda: self.weights.generator)

        plan, rate = _fastest(load, backend.plans(), self.samples.radar)
        verdict = REFERENCE
        if (name, spec.precision) != ("eager", "float32"):
            found = infer_batches(load(plan), self.samples.radar, plan.batch)
            verdict = compare(self.samples, self.expected, found)
            what = f"{self.weights.variant.name}: {name} in {spec.precision}"
            self.report(f"{what}: {rate:.3g} images/s, {plan.batch} at a time; {verdict}")
        return {"plan": asdict(plan), "rate": rate, "gate": verdict.as_dict()}


def _fastest(
    load: Callable[[Plan], Forward], plans: Sequence[Plan], radar: NDArray[np.float32]
) -> tuple[Plan, float]:
    """The plan that draws most tiles in a second, and how many; those with no room are passed over.

    Raises:
        InputError: there is no room for any.
    """
    rates: dict[Plan, float] = {}
    for plan in plans:
        tiles = np.resize(radar, (plan.batch, *radar.shape[1:]))
        seconds: list[float] = []
        try:
            run = load(plan)
            for _ in range(1 + _ROUNDS):  # the first warms up
                began = time.perf_counter()
                infer_batches(run, tiles)
                seconds.append(time.perf_counter() - began)
                if len(seconds) > 1 and seconds[-1] > _LONG:
                    break
        except NO_ROOM:
            continue
        rates[plan] = plan.batch / min(seconds[1:])
    if not rates:
        raise InputError(
            "the device", f"has no room for one tile of {radar.shape[2]}x{radar.shape[3]}",
            remedy="end what else runs on it, or predict with --backend eager",
        )  # fmt: skip
    best = max(rates, key=lambda plan: rates[plan])
    return best, rates[best]


def _side_by_side(engines: Sequence[Engine], radar: NDArray[np.float32]) -> list[float]:
    """Images/s of each, in turns, so that what else the machine does meets them all."""
    seconds: list[list[float]] = [[] for _ in engines]
    for _ in range(1 + _ROUNDS):
        for engine, took in zip(engines, seconds, strict=True):
            tiles = np.resize(radar, (engine.batch, *radar.shape[1:]))
            began = time.perf_counter()
            infer_batches(engine, tiles)
            took.append(time.perf_counter() - began)
    return [engine.batch / min(took[1:]) for engine, took in zip(engines, seconds, strict=True)]
