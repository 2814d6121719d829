"""The tiles that engines are checked and calibrated with.

In: the table of pairs, or radar scenes where there is no table. Out: `Samples`, all of one size:
tiles of the hold-out for the accuracy check, tiles of training pairs for calibration.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.engines.accuracy import Samples
from kit.errors import InputError
from kit.inputs.planes import read_pair
from kit.pairs.open_pairs import open_pairs
from kit.pairs.table import PAIRS, Pair, holdout_pairs, read_pairs, train_pairs
from kit.runs.planes import planes_for_pairs, planes_for_scenes
from kit.runs.weights import Weights
from kit.storage.files import sha256
from kit.tiles.bands import spread
from kit.tiles.reader import read_scene
from kit.tiles.scenes import Scene

TILES = 16

_Pixels = tuple[NDArray[np.float32], NDArray[np.float32]]


def samples(
    work: Path, weights: Weights, size: tuple[int, int], scenes: Sequence[Scene] = ()
) -> Samples:
    """Up to `TILES` tiles for the accuracy check and as many for calibration, evenly spread.

    Args:
        work: the folder of the table of pairs.
        weights: their target decides the space of the truth.
        size: height and width of a tile.
        scenes: radar scenes that are to be predicted; see `samples_or`.

    Raises:
        InputError: there is no tile of the size anywhere, or one cannot be read.
    """
    others = partial(_unlabelled, work, weights, scenes, size) if scenes else None
    return samples_or(work, weights, size, others, "tiles of the input")


def samples_or(
    work: Path,
    weights: Weights,
    size: tuple[int, int],
    others: Callable[[], NDArray[np.float32]] | None,
    name: str,
) -> Samples:
    """As `samples`, where other radar takes the place of pairs that are not there.

    Args:
        work: the folder of the table of pairs.
        weights: their target decides the space of the truth.
        size: height and width of a tile.
        others: returns the inputs of up to `TILES` tiles without truth. An engine is checked with
            them where no pair of the size is held out or pairs cannot be read, and calibrated with
            them where no such pair is trained on, or can be read.
        name: what these tiles are called.

    Raises:
        InputError: there is no tile of the size anywhere, or one cannot be read.
    """
    known = weights.facts.get("holdout_mae")
    empty = np.empty((0, weights.variant.input_channels, *size), np.float32)
    unlabelled = cache(others or (lambda: empty))

    def seen(pairs: Sequence[Pair]) -> Sequence[Pair]:
        return train_pairs(pairs, weights.variant.dataset)

    def calibration() -> NDArray[np.float32]:
        try:
            trained = _pairs(work, weights, size, seen)
        except InputError:
            if not others:
                raise
            trained = []
        return np.stack([inputs for inputs, _ in trained]) if trained else unlabelled()

    unread = ""
    try:
        held = _pairs(work, weights, size, holdout_pairs)
    except InputError as error:
        if not others:
            raise
        held, unread = [], f" (pairs cannot be read: {error.brief})"
    if held:
        inputs, optical = map(np.stack, zip(*held, strict=True))
        return Samples(inputs, optical, calibration, known, f"{len(held)} tiles of the hold-out")
    found = unlabelled()
    if not len(found):
        problem = f"no tile of {size[0]}x{size[1]} to check an engine with"
        remedy = "prepare tiles of that size (kit prepare), or predict with --backend eager"
        raise InputError(work, problem, remedy=remedy)
    return Samples(found, None, calibration, known, f"{len(found)} {name}{unread}")


def pairs_digest(work: Path) -> str:
    """A digest of the table that `samples` chooses pairs from; "" if there is none to be read."""
    try:
        return sha256(work / PAIRS)
    except OSError:
        return ""


def _pairs(
    work: Path,
    weights: Weights,
    size: tuple[int, int],
    part: Callable[[Sequence[Pair]], Sequence[Pair]],
) -> list[_Pixels]:
    """Inputs and optical images of some pairs of a size, of a part of the table."""
    path = work / PAIRS
    table = read_pairs(path) if path.exists() else ()
    pairs = [pair for pair in table if (pair.height, pair.width) == size]
    chosen = spread(part(pairs), TILES)
    if not chosen:
        return []
    reader = open_pairs(work, chosen)
    planes = planes_for_pairs(weights.path.parent, weights.variant, work, reader, table)
    return [read_pair(planes, reader, pair) for pair in chosen]


def _unlabelled(
    work: Path, weights: Weights, scenes: Sequence[Scene], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Inputs of some scenes, spread over those that are readable and have the size."""
    planes = planes_for_scenes(weights.path.parent, weights.variant, work, scenes)
    found: list[NDArray[np.float32]] = []
    for scene in spread(scenes, 4 * TILES):
        try:
            sar = read_scene("Sentinel1", scene.files)
        except InputError:
            continue  # kit.prediction.predict reports it
        if sar.shape[1:] == size:
            found.append(planes.of(scene.key, sar).values)
    if not found:
        return np.empty((0, planes.variant.input_channels, *size), np.float32)
    return np.stack(spread(found, TILES))
