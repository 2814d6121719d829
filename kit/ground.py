"""Which tiles share ground, by the coordinates in their names and their size.

In: places, as longitude and latitude in degrees. Out: those whose tiles overlap those of others.
Tiles are squares of 10 m pixels, in metres or in degrees: by its name one cannot tell, so each is
taken for as wide in degrees of longitude as it would be in metres.
"""

import math
from collections.abc import Iterable

import numpy as np

# A pixel of 10 m spans this many degrees of latitude, and of longitude on the equator.
DEGREES_PER_PIXEL = 8.98315e-5

PIXEL_M = 10

Place = tuple[str, str]
"""Longitude and latitude in degrees, as the names of tiles give them."""


def side_in_pixels(metres: float) -> int:
    """Metres in pixels of 10 m, rounded up."""
    return math.ceil(metres / PIXEL_M)


def sharing_ground(places: Iterable[Place], others: Iterable[Place], pixels: int) -> set[Place]:
    """The places whose tiles overlap one of the others, which may be among them.

    Args:
        places: any number.
        others: any number.
        pixels: the side of a tile, in pixels of 10 m.
    """
    asked = sorted(set(places))
    if not asked:
        return set()
    span = pixels * DEGREES_PER_PIXEL
    lon, lat = np.array(asked, dtype=np.float64).T
    near = np.zeros(len(asked), dtype=bool)
    for place in set(others):
        at_lon, at_lat = map(float, place)
        east = np.abs((lon - at_lon + 180) % 360 - 180)
        shrunk = np.cos(np.radians(np.maximum(np.abs(lat), abs(at_lat))))
        near |= (np.abs(lat - at_lat) < span) & (east * shrunk < span)
    return {place for place, is_near in zip(asked, near, strict=True) if is_near}
