"""How much ground pairs show, by their own transforms, in metres.

In: pairs whose places are the centres of their grids. Out: the same pairs with their extents, by
which a hold-out finds the tiles that overlap it, in whatever projection they lie.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rasterio.warp import transform

from kit.pairs.table import Pair
from kit.tiles.bands import scene_grid
from kit.tiles.raster import Grid

_METRES = 111_319.5  # along a degree of latitude, and of longitude on the equator


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


def extent_of(grid: Grid, height: int, width: int) -> float:
    """Metres from the west to the east or from the south to the north of a grid, the larger."""
    a, b, c, d, e, f = grid.transform
    columns, rows = np.array([0, width, width, 0]), np.array([0, 0, height, height])
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    lon, lat = (np.array(each) for each in transform(grid.crs, "EPSG:4326", x, y)[:2])
    east = np.ptp((lon - lon[0] + 180) % 360 - 180) * np.cos(np.radians(np.abs(lat).min()))
    return float(max(east, np.ptp(lat)) * _METRES)
