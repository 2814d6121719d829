"""Engines built ahead of the prediction that needs them.

In: trained runs. Out: for each the engine that `kit predict` will take, in the folder of engines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kit.engines.calibration import samples
from kit.engines.choose import build_for, choose
from kit.engines.request import Request
from kit.pairs.table import PAIRS, holdout_pairs, read_pairs
from kit.progress import Report
from kit.runs.weights import read_run
from kit.tiles.bands import first_size
from kit.tiles.catalog import catalog
from kit.tiles.scenes import Scene

_SIDE = 256  # of the official tiles


@dataclass(frozen=True, slots=True)
class Built:
    """An engine, how many images/s it drew when it was measured, and what it changes.

    One for another machine is measured there; until then its rate is None.
    """

    variant: str
    backend: str
    precision: str
    height: int
    width: int
    rate: float | None
    gate: str


def compile(
    names: Sequence[str],
    *,
    runs: Path,
    work: Path,
    engines: Path,
    request: Request,
    tiles: Path | None,
    size: int | None,
    target: str,
    report: Report,
) -> tuple[Built, ...]:
    """Build what is missing for the runs called `names`, and choose as `kit predict` does.

    Args:
        names: trained variants.
        runs: the folder of trained runs.
        work: the folder of the table of pairs; engines are tried on its hold-out.
        engines: the folder where engines are kept.
        request: which engine is wanted.
        tiles: radar tiles to try engines on where there is no hold-out.
        size: pixels along a tile's side; that of the hold-out or of `tiles` if None.
        target: what another machine has; "" for this one.
        report: takes a line about what is done.

    Raises:
        InputError: a run is not trained, or the engine asked for cannot be had.
        CheckError: the engine changes the MAE too much.
    """
    scenes = [*catalog(tiles.resolve()).of("Sentinel1")] if tiles else []
    shape = (size, size) if size else _size(work, scenes)
    built = []
    for weights in [read_run(runs, name) for name in names]:
        tiles_of = partial(samples, work, weights, shape, scenes)
        name = weights.variant.name
        if target:
            folder = build_for(
                target, weights, shape, request, cache=engines, samples=tiles_of, report=report
            )
            gate = f"not yet: {folder} is for {target}"
            built.append(Built(name, request.backend, request.precision, *shape, None, gate))
        else:
            engine = choose(weights, shape, request, cache=engines, samples=tiles_of, report=report)
            found = engine.name, engine.spec.precision, *shape, engine.rate, str(engine.accuracy)
            built.append(Built(name, *found))
    return tuple(built)


def _size(work: Path, scenes: Sequence[Scene]) -> tuple[int, int]:
    path = work / PAIRS
    for pair in holdout_pairs(read_pairs(path)) if path.exists() else ():
        return pair.height, pair.width
    return first_size(scene.files[0] for scene in scenes) or (_SIDE, _SIDE)
