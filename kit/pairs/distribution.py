"""How the values of pairs are distributed, beside the ranges that networks see.

In: pairs. Out: quantiles of each band over some pairs that are spread over all.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.pairs.table import Pair
from kit.pairs.tile_pairs import TilePairs
from kit.scaling import DN_RANGE, VH_RANGE, VV_RANGE
from kit.tiles.names import RGB_BANDS, S1_BANDS

QUANTILES = (0.0, 0.01, 0.5, 0.99, 1.0)
SEEN = {"VV": VV_RANGE, "VH": VH_RANGE} | dict.fromkeys(RGB_BANDS, DN_RANGE)
_PAIRS, _EVERY = 32, 4  # and of their pixels each fourth, along both axes


def distribution(pairs: Sequence[Pair]) -> dict[str, tuple[float, ...]]:
    """`QUANTILES` of the values of each band, in dB and DN, over those that are finite.

    Raises:
        InputError: a tile can no longer be read.
    """
    values: dict[str, list[NDArray[Any]]] = {band: [] for band in (*S1_BANDS, *RGB_BANDS)}
    reader = TilePairs()
    clear = [pair for pair in pairs if pair.dataset1] or pairs
    for pair in clear[:: max(1, len(clear) // _PAIRS)]:
        with reader.pixels(pair) as (radar, optical):
            for band, pixels in zip(values, (*radar, *optical), strict=True):
                values[band].append(pixels[::_EVERY, ::_EVERY].astype(np.float64).ravel())
    found = {}
    for band, parts in values.items():
        flat = np.concatenate(parts)
        flat = flat[np.isfinite(flat)]
        if flat.size:
            found[band] = tuple(np.quantile(flat, QUANTILES).round(3).tolist())
    return found
