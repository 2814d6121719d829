"""Places that lie together: blocks of a grid, and pieces of blocks that are too large.

In: the places of pairs. Out: units, each the indices of pairs that must stay together, in the order
of their coordinates.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kit.ground import Place

BLOCK_DEGREES = 0.1

Unit = tuple[int, ...]
"""Indices of pairs."""


def block_of(place: Place, degrees: float = BLOCK_DEGREES) -> tuple[int, int]:
    """The block that a place lies in, of a grid with sides of so many degrees."""
    # Names have two decimals: integer hundredths keep 0.30 / 0.1 from falling to either side.
    lon, lat = (round(float(x) * 100) // round(degrees * 100) for x in place)
    return lon, lat


def by_place(places: Sequence[Place], indices: Iterable[int]) -> dict[Place, list[int]]:
    """The indices of each place, the places in the order of their coordinates."""
    found: dict[Place, list[int]] = defaultdict(list)
    for index in indices:
        found[places[index]].append(index)
    return {place: found[place] for place in sorted(found, key=_coordinates)}


def units(
    places: Sequence[Place],
    indices: Iterable[int],
    limit: float,
    degrees: float = BLOCK_DEGREES,
) -> list[Unit]:
    """Blocks, those of more than `limit` pairs in pieces; no place is divided.

    Args:
        places: of all pairs.
        indices: of the pairs that count.
        limit: how many pairs a unit may have, unless they are of one place.
        degrees: along a side of a block.
    """
    blocks: dict[tuple[int, int], dict[Place, list[int]]] = defaultdict(dict)
    for place, found in by_place(places, indices).items():
        blocks[block_of(place, degrees)][place] = found
    return [unit for key in sorted(blocks) for unit in _pieces(blocks[key], limit)]


def _pieces(block: Mapping[Place, list[int]], limit: float) -> list[Unit]:
    """Strips across a block, along its longer side, so that little of it lies on a border."""
    total = sum(map(len, block.values()))
    if total <= limit:
        return [tuple(index for found in block.values() for index in found)]
    lons, lats = zip(*map(_coordinates, block), strict=True)
    across = max(lats) - min(lats) > max(lons) - min(lons)
    order = sorted(block, key=lambda place: _coordinates(place)[:: -1 if across else 1])
    share = total / math.ceil(total / limit)
    pieces: list[list[int]] = [[]]
    for place in order:
        if pieces[-1] and len(pieces[-1]) + len(block[place]) / 2 > share:
            pieces.append([])
        pieces[-1] += block[place]
    return [*map(tuple, pieces)]


def _coordinates(place: Place) -> tuple[float, float]:
    return float(place[0]), float(place[1])
