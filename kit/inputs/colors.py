"""The colours of training pairs: the images of one colour that every model must beat.

In: pairs and their pixels. Out: `kit.colors.Colors`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kit.colors import Color, Colors
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import Pair
from kit.scaling import UINT16_MAX, quantize, scale_optical, stretch


def measure_colors(
    reader: PairReader, pairs: Sequence[Pair], target: str, limit: int = 256
) -> Colors:
    """The colours of at most `limit` pairs, spread evenly, in the space of `target`.

    The median is one of 65536 levels.

    Raises:
        InputError: `reader` cannot give the pixels of a pair.
    """
    chosen = pairs[:: max(1, -(-len(pairs) // limit))]
    means, stretched = [], []
    counts = np.zeros((3, UINT16_MAX + 1), np.int64)
    for pair in chosen:
        with reader.pixels(pair) as (_, dn):
            image = scale_optical(dn, target)
            means.append(image.mean(axis=(1, 2), dtype=np.float64))
            stretched.append(stretch(dn).mean(axis=(1, 2)))
        for channel, count in zip(quantize(image), counts, strict=True):
            count += np.bincount(channel.ravel(), minlength=len(count))
    return Colors(
        mean=_color(np.mean(means, axis=0)),
        median=_color(np.array([_median(count) for count in counts]) / UINT16_MAX),
        stretched=_color(np.mean(stretched, axis=0)),
    )


def _median(counts: NDArray[np.int64]) -> int:
    """The level of the middle pixel, of two the lower one."""
    total = counts.cumsum()
    return int(np.searchsorted(total, (int(total[-1]) + 1) // 2))


def _color(values: NDArray[np.float64]) -> Color:
    red, green, blue = values.tolist()
    return red, green, blue
