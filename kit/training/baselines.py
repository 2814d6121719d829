"""What a run has to beat: predictors that are made of the training pairs in seconds.

In: training pairs, and pairs to score on. Out: the errors on each of these of images of one colour,
of boosted trees, and of what the place looked like at other dates.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kit.colors import MEAN_COLOR, MEDIAN_COLOR, STRETCHED_COLOR
from kit.errors import InputError
from kit.inputs.colors import measure_colors
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import InputPlanes, read_optical
from kit.metrics import anchored, errors
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import Pair
from kit.progress import Report
from kit.training.evaluate import evaluate_each, official_errors
from kit.training.fit_prior import fit_prior
from kit.training.fit_trees import fit_trees
from kit.training.table1 import Errors
from kit.variants.registry import VARIANTS

TREES, PRIOR = "boosted trees", "prior of the place"
_VARIANT = replace(VARIANTS["trees1"], name="baseline")
_MOST_PAIRS = 64
_MOST_PIXELS = 100_000


def constants(
    reader: PairReader, trained: Sequence[Pair], scored: Sequence[Pair], official: str
) -> dict[str, Errors]:
    """The errors of images of one colour, by the names of `kit.colors`.

    Args:
        reader: of the pixels.
        trained: training pairs.
        scored: pairs to score on.
        official: the official measure that is among the errors.

    Raises:
        InputError: `reader` cannot give the pixels of a pair.
    """
    colors = measure_colors(reader, trained, "reflectance")
    plain = {MEAN_COLOR: colors.mean, MEDIAN_COLOR: colors.median}
    found: dict[str, dict[str, dict[str, float]]] = {n: {} for n in (*plain, STRETCHED_COLOR)}
    for pair in scored:
        scene, truth = str(pair.optical), read_optical(reader, pair, "reflectance")
        for name, color in plain.items():
            image = _of_one(color, truth.shape)
            own = official_errors(official, reader, pair, image)
            found[name][scene] = errors(image, truth) | own
        # In the server's space; and sent without anchors it would be black.
        own = official_errors(official, reader, pair, _of_one(colors.stretched, truth.shape))
        nothing = dict.fromkeys(found[MEAN_COLOR][scene], math.nan)
        found[STRETCHED_COLOR][scene] = nothing | {anchored(official): own[anchored(official)]}
    return dict(found)


def boosted_trees(
    reader: PairReader, trained: Sequence[Pair], held: Sequence[Pair], official: str, report: Report
) -> dict[str, Errors]:
    """The errors of boosted trees by the name of their row; nothing where they cannot be fitted.

    Args:
        reader: of the pixels.
        trained: training pairs, of many of which some are used.
        held: pairs that are not among them.
        official: the official measure that is among the errors.
        report: takes a line where the library is missing.

    Raises:
        InputError: `reader` cannot give the pixels of a pair.
    """
    chosen = trained[:: max(1, -(-len(trained) // _MOST_PAIRS))]
    planes = InputPlanes(_VARIANT)
    dataset = PairDataset(planes, reader, chosen, crop=_VARIANT.crop)
    try:
        generator, _ = fit_trees(dataset, most=_MOST_PIXELS)
    except InputError as error:
        if error.where != "lightgbm":
            raise
        report(f"no row for {TREES}: {error.where} {error.problem}; {error.remedy}")
        return {}
    found = evaluate_each(generator, planes, reader, held, official)
    return {TREES: dict(zip((str(pair.optical) for pair in held), found, strict=True))}


def place_priors(
    planes: InputPlanes,
    reader: PairReader,
    trained: Sequence[Pair],
    scored: Sequence[Pair],
    official: str,
) -> dict[str, Errors]:
    """The errors of priors by the name of their row; nothing where no place recurs.

    Args:
        planes: of a variant whose model is "prior", with the priors of `trained`.
        reader: of the pixels.
        trained: training pairs.
        scored: pairs, of which those of a place of `trained` count.
        official: the official measure that is among the errors.

    Raises:
        InputError: `reader` cannot give the pixels of a pair.
    """
    seen = {pair.place for pair in trained}
    pairs = [pair for pair in scored if pair.place in seen]
    if not pairs:
        return {}
    generator, _ = fit_prior(PairDataset(planes, reader, trained, crop=planes.variant.crop))
    found = evaluate_each(generator, planes, reader, pairs, official)
    return {PRIOR: dict(zip((str(pair.optical) for pair in pairs), found, strict=True))}


def _of_one(color: Sequence[float] | None, shape: Sequence[int]) -> NDArray[np.float32]:
    return np.broadcast_to(np.array(color, np.float32)[:, None, None], shape)
