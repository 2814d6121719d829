"""Engines built ahead of the prediction that needs them.

In: trained runs. Out: for each the engine that `kit predict` will take, in the folder of engines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kit.catalog import Scene, catalog
from kit.engines.choose import choose
from kit.engines.engine import Tell
from kit.engines.gate import Verdict
from kit.engines.samples import samples, size_of
from kit.pairs import holdout_pairs, read_pairs
from kit.weights import read_run
from kit.wish import Wish

_SIDE = 256  # of the official tiles


@dataclass(frozen=True, slots=True)
class Built:
    """An engine, how fast it was when it was built, and what it changes."""

    variant: str
    backend: str
    precision: str
    height: int
    width: int
    batch: int
    streams: int
    rate: float
    verdict: Verdict


def compile(
    names: Sequence[str],
    *,
    runs: Path,
    work: Path,
    engines: Path,
    wish: Wish,
    tiles: Path | None,
    size: int | None,
    tell: Tell,
) -> tuple[Built, ...]:
    """Build what is missing for the runs called `names`, and choose as `kit predict` does.

    Args:
        names: trained variants.
        runs: the folder of trained runs.
        work: the folder of the table of pairs; engines are tried on its hold-out.
        engines: the folder where engines are kept.
        wish: which engine is wanted.
        tiles: radar tiles to try engines on where there is no hold-out.
        size: pixels along a tile's side; that of the hold-out or of `tiles` if None.
        tell: takes a line about what is done.

    Raises:
        InputError: a run is not trained, or the engine asked for cannot be had.
        CheckError: the engine changes the MAE too much.
    """
    scenes = [*catalog(tiles.resolve()).of("Sentinel1")] if tiles else []
    shape = (size, size) if size else _size(work, scenes)
    built = []
    for weights in [read_run(runs, name) for name in names]:
        engine = choose(
            weights,
            shape,
            wish,
            cache=engines,
            samples=partial(samples, work, weights, shape, scenes),
            tell=tell,
        )
        built.append(
            Built(
                weights.variant.name,
                engine.name,
                engine.spec.precision,
                *shape,
                engine.plan.batch,
                engine.plan.streams,
                engine.rate,
                engine.verdict,
            )
        )
    return tuple(built)


def _size(work: Path, scenes: Sequence[Scene]) -> tuple[int, int]:
    path = work / "pairs.parquet"
    for pair in holdout_pairs(read_pairs(path)) if path.exists() else ():
        return pair.height, pair.width
    return size_of(scenes) or (_SIDE, _SIDE)
