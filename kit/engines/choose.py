"""Which engine predicts: the one requested, or the fastest that passes the accuracy check.

In: trained weights, the size of a tile, and the user's request. Out: an `Engine`, from the cache or
newly built.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.engines.accuracy import Samples
from kit.engines.backend import Spec
from kit.engines.builder import Builder
from kit.engines.engine import Engine
from kit.engines.registry import automatic, find_backend
from kit.engines.request import AUTO, PRECISIONS, Precision, Request
from kit.engines.throughput import CLOCK, Clock
from kit.errors import CheckError, InputError
from kit.progress import Report
from kit.runs.weights import Weights
from kit.variants.settings import Variant

# Seconds that eager needs for all scenes, below which no engine is built for them.
_WORTHWHILE = 60


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
    pairs: str = "",
    clock: Clock = CLOCK,
) -> Engine:
    """The engine for these weights and this size of tile.

    Args:
        weights: of the generator that predicts.
        size: height and width of a tile.
        request: what the user asks for.
        cache: the folder of engines.
        samples: returns the tiles to check engines with; called if one has to be built.
        report: takes a line about each step and its reason.
        scenes: how many there are to predict; for a few, only a requested engine is built.
        before: `Engine.describe` of the engines that predicted some scenes already; the last of
            them is chosen again unless the request names another.
        pairs: `kit.engines.calibration.pairs_digest` of the pairs that `samples` chooses from.
        clock: what rates are measured with.

    Raises:
        InputError: the request is unknown, not installed, or not supported by this machine or by
            the model.
        CheckError: the requested engine, or every engine, changes the MAE too much.
    """
    check_fitted(weights.variant, request)
    if weights.variant.is_fitted:
        name, model = weights.variant.name, weights.variant.model
        report(f"{name}: eager in float32, as no engine compiles the model {model}")
        return Engine.eager(weights, size, report)
    builder = Builder(weights, size, request, cache, samples, report, pairs, clock)
    admitted = candidates(request)
    if request.backend == AUTO:
        recorded = [(each.get("name"), each.get("precision")) for each in before[-1:]]
        if again := [each for each in admitted if each in recorded]:
            admitted = again
        elif scenes is not None and ("eager", "float32") in admitted:
            eager = builder.engine("eager", "float32")
            missing = [each for each in admitted if not builder.is_built(*each)]
            if missing and scenes < _WORTHWHILE * eager.rate:
                seconds = max(1, round(scenes / eager.rate))
                report(
                    f"{weights.variant.name}: eager, as {scenes} tiles take about {seconds} s; "
                    "kit compile would build an engine"
                )
                return eager
    if len(admitted) == 1:
        return builder.requested(*admitted[0])
    passing = [engine for each in admitted if (engine := builder.passing(*each))]
    if not passing:
        raise CheckError(builder.refusal("no engine passes the accuracy check"))
    best = builder.fastest(passing)
    report(
        f"{weights.variant.name}: {best.name} in {best.spec.precision}, the fastest of "
        f"{len(passing)} that pass the accuracy check"
    )
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
    """Build an engine for another machine, which measures and checks it when it first uses it.

    Args:
        target: one of the backend's targets.
        weights: of the generator that predicts.
        size: height and width of a tile.
        request: names the backend and the precision.
        cache: the folder of engines, to be copied to the other machine with the runs.
        samples: returns the tiles to calibrate with.
        report: takes a line about each step.

    Returns:
        The engine's folder.

    Raises:
        InputError: the backend has no such target, or the request does not name backend and
            precision.
    """
    if AUTO in (request.backend, request.precision) or request.precision not in PRECISIONS:
        raise InputError(
            f"--target {target}",
            "requires --backend and --precision",
            remedy=f"name a backend, and one of {', '.join(PRECISIONS)}",
        )
    check_fitted(weights.variant, request)
    find_backend(request.backend, target)
    builder = Builder(weights, size, request, cache, samples, report)
    return builder.build(
        request.backend, Spec(request.precision, *size, target, weights.variant.input_channels)
    ).folder


def check_fitted(variant: Variant, request: Request) -> None:
    """Refuse a request for another engine than eager float32 for what no engine compiles.

    Raises:
        InputError: names the variant and the engine.
    """
    asked = (request.backend, request.precision)
    if variant.is_fitted and not (asked[0] in (AUTO, "eager") and asked[1] in (AUTO, "float32")):
        raise InputError(
            variant.name,
            f"its model {variant.model} runs in eager float32 alone, not as {' in '.join(asked)}",
            remedy="leave --backend and --precision out, or name the other members alone",
        )


def candidates(request: Request) -> list[tuple[str, Precision]]:
    """The backends and precisions of this machine that a request admits.

    Raises:
        InputError: the request is unknown, not installed, or not supported by this machine.
    """
    if request.precision not in (AUTO, *PRECISIONS):
        known = ", ".join((AUTO, *PRECISIONS))
        raise InputError(request.precision, "no such precision", remedy=f"choose one of {known}")
    found: list[tuple[str, Precision]] = []
    for name in automatic() if request.backend == AUTO else (request.backend,):
        try:
            supported = find_backend(name).precisions()
        except InputError:
            if request.backend != AUTO:
                raise
            continue
        found += [(name, each) for each in supported if request.precision in (AUTO, each)]
    if not found:
        problem = f"no backend here computes in {request.precision}"
        if request.backend != AUTO:
            problem = f"does not compute in {request.precision} on this machine"
        raise InputError(request.backend, problem, remedy="kit doctor lists the backends")
    return found
