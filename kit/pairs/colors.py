"""What the optical scenes of pairs show: their mean colours.

In: pairs. Out: the same pairs, a bounded number of them with the mean colour of their optical
scene, spread over the places.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from kit.colors import Color
from kit.machine.lookahead import map_ahead
from kit.pairs.blocks import by_place
from kit.pairs.table import Pair
from kit.scaling import DN_RANGE
from kit.tiles.reader import read_scene

MOST = 1024
"""Scenes that are read, a second or two from a disk."""
_THREADS = 4
_DIGITS = 5


def with_colors(pairs: Sequence[Pair], most: int = MOST) -> tuple[Pair, ...]:
    """The pairs, of which those of Dataset-1 have a colour; of many, first one of each place.

    Raises:
        InputError: a scene that has been screened can no longer be read.
    """
    clear = [index for index, pair in enumerate(pairs) if pair.dataset1]
    places = by_place([pair.place for pair in pairs], clear).values()
    rounds = [index for each in zip_longest(*places) for index in each if index is not None]
    chosen = rounds[:most]
    found = map_ahead(
        _mean_color, [pairs[index] for index in chosen], threads=_THREADS, depth=2 * _THREADS
    )
    colors = dict(zip(chosen, found, strict=True))
    return tuple(replace(pair, color=colors.get(index)) for index, pair in enumerate(pairs))


def colors_of(pairs: Sequence[Pair]) -> list[Color | None]:
    """The colour of each pair, or else that of its place at another date; None if none is known."""
    known: dict[tuple[str, str], Color] = {}
    for pair in pairs:
        if pair.color:
            known.setdefault(pair.place, pair.color)
    return [pair.color or known.get(pair.place) for pair in pairs]


def _mean_color(pair: Pair) -> Color:
    dn = np.clip(read_scene("Sentinel2", pair.optical_paths), *DN_RANGE)
    means = dn.mean(axis=(1, 2), dtype=np.float64) / DN_RANGE[1]
    red, green, blue = np.round(means, _DIGITS).tolist()
    return red, green, blue
