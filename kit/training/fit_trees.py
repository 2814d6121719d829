"""Training pairs -> boosted trees, in one go.

In: pairs, and the planes of a variant. Out: a generator of trees, and facts about their fit for the
weights file. Of many pairs a share of each one's pixels is used; pixels, and so trees, depend on
(pairs, seed) alone, not on threads.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kit.errors import InputError
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import read_pair
from kit.machine.lookahead import map_ahead
from kit.models.registry import build_generator
from kit.models.trees import CHANNELS, BoostedTrees
from kit.pairs.table import Pair
from kit.progress import Advance, Stop
from kit.scaling import to_signed
from kit.training import boosting

MOST_PIXELS = 400_000
"""Pixels that trees are fitted on, of all pairs together."""
_MOST_OF_A_PAIR = 1 / 4  # neighbours look alike: a tenth of 619,200, of 43 scenes, lost nothing
_SMALLEST_LEAF = 200  # pixels, of which thousands in a tile look alike
_READERS = 2

READING = "pairs"  # what is done until the first tree grows


class Pixels(NamedTuple):
    """Pixels of many pairs: features [N, F], and colours [3, N] in [0, 1]."""

    features: NDArray[np.float32]
    colors: NDArray[np.float32]


def fit_trees(
    dataset: PairDataset,
    *,
    most: int = MOST_PIXELS,
    stop: Stop = lambda: False,
    advance: Advance = lambda done, total, words="", /: None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Fit the trees of a variant, whose model is "trees", to complete tiles.

    Args:
        dataset: the pairs, and the planes of the variant.
        most: pixels to use of all pairs together; each gives an equal share of these, and at most a
            quarter of its own.
        stop: asked after every pair and every tree.
        advance: called with (done, total), and what is done.

    Returns:
        The generator on the CPU; and `fitted_by`, the library, `features`, their names, and
        `pixels`, how many were used.

    Raises:
        InputError: the library is not installed, or a pair cannot be read.
        KeyboardInterrupt: the user has asked to stop.
    """
    variant = dataset.planes.variant
    settings = boosting.Settings(
        trees=variant.trees,
        leaves=variant.leaves,
        shrinkage=variant.lr,
        smallest=_SMALLEST_LEAF,
        loss="mse" if variant.pixel_loss == "mse" else "l1",
        thresholds=variant.thresholds,
        seed=variant.seed,
    )
    facts = {"fitted_by": boosting.version()}  # before anything is read
    generator = build_generator(variant)
    assert isinstance(generator, BoostedTrees)
    pixels = _read(dataset, generator, most, stop, advance)
    done = [0] * CHANNELS

    def fit(channel: int) -> boosting.Boosted:
        def after_tree(number: int) -> None:
            if stop():
                raise KeyboardInterrupt
            done[channel] = number
            advance(sum(done), CHANNELS * variant.trees, "trees")

        return boosting.boost(pixels.features, pixels.colors[channel], settings, after_tree)

    with ThreadPoolExecutor(CHANNELS, "fit") as pool:
        channels = [*pool.map(fit, range(CHANNELS))]
    tensors = {
        name: torch.stack([channel.tensors[name] for channel in channels])
        for name in channels[0].tensors
    }
    tensors["base"] = torch.tensor([channel.base for channel in channels])
    generator.load_state_dict(tensors, assign=True)
    about = {"features": [*generator.feature_names], "pixels": len(pixels.features)}
    return generator, facts | about


def pixels_of(pairs: Sequence[Pair], most: int = MOST_PIXELS) -> list[int]:
    """How many pixels of each pair trees are fitted on."""
    share = max(1, most // len(pairs))
    sizes = (math.ceil(_MOST_OF_A_PAIR * pair.height * pair.width) for pair in pairs)
    return [min(share, size) for size in sizes]


def _read(
    dataset: PairDataset, generator: BoostedTrees, most: int, stop: Stop, advance: Advance
) -> Pixels:
    pairs, seed = dataset.pairs, dataset.seed
    counts = pixels_of(pairs, most)
    features = np.empty((sum(counts), len(generator.feature_names)), np.float32)
    colors = np.empty((CHANNELS, sum(counts)), np.float32)

    def read(index: int) -> Pixels:
        hidden = dataset.hides_prior(0, index)
        planes, optical = read_pair(dataset.planes, dataset.reader, pairs[index], hidden)
        random = np.random.default_rng((seed, index))
        chosen = random.choice(planes[0].size, counts[index], replace=False, shuffle=False)
        found = generator.features(to_signed(torch.from_numpy(planes))[None])[0]
        return Pixels(found.flatten(1).numpy()[:, chosen].T, optical.reshape(3, -1)[:, chosen])

    start = 0
    every = map_ahead(read, range(len(pairs)), threads=_READERS, depth=2 * _READERS, name="pixels")
    for done, part in enumerate(every, start=1):
        if stop():
            every.close()
            raise KeyboardInterrupt
        rows = slice(start, start + len(part.features))
        features[rows], colors[:, rows] = part
        start = rows.stop
        advance(done, len(pairs), READING)
    return Pixels(features, colors)


def other_library(facts: dict[str, Any]) -> str:
    """Who fitted the trees of a weights file, where that is not what this machine would fit with.

    Trees are tensors: they predict the same whatever fitted them. "" if there is nothing to say.
    """
    by = facts.get("fitted_by")
    try:
        here = boosting.version()
    except InputError:
        return ""
    return str(by) if by and by != here else ""
