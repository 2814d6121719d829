"""How much ground pairs show, by their own transforms, in metres.

In: pairs whose places are the centres of their grids. Out: the same pairs with their extents, by
which a hold-out finds the tiles that overlap it, in whatever projection they lie.
"""

from collections.abc import Sequence
from dataclasses import replace

from kit.pairs.table import Pair
from kit.tiles.bands import scene_grid
from kit.tiles.extent import extent_of


def with_ground(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs, those with a declared grid and projection with the ground that they show.

    Raises:
        InputError: a tile can no longer be read.
    """
    found = []
    for pair in pairs:
        grid = scene_grid(pair.optical_paths) or scene_grid(pair.radar_paths)
        placed = grid if grid and grid.crs else None
        extent = extent_of(placed, pair.height, pair.width) if placed else None
        found.append(replace(pair, ground_m=extent))
    return tuple(found)
