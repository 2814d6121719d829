"""95 % intervals of means over scenes, whose places are drawn again with replacement.

In: a number for each scene, and the place that it is of. Out: the interval of their mean. Scenes of
one place err alike, so that they are drawn together. The draws depend on the number of places
alone: two results of the same scenes are compared draw by draw.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000
ENOUGH_PLACES = 6
"""With fewer an interval over places is above zero by chance too often: 1 of 2**5 draws or more."""
_LEVEL = 0.95


def interval(
    values: NDArray[np.float64] | Sequence[float], places: Sequence[object]
) -> tuple[float, float]:
    """The interval of the mean of `values`.

    Args:
        values: one number for each scene, such as its error, or by how much one error exceeds
            another.
        places: the place of each scene.
    """
    known = {place: number for number, place in enumerate(dict.fromkeys(places))}
    at = np.array([known[place] for place in places])
    sums, counts = np.bincount(at, values), np.bincount(at)
    drawn = np.random.default_rng(0).integers(len(known), size=(DRAWS, len(known)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
