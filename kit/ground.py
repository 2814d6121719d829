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
    return Places(places, pixels).sharing_ground(others)


class Places:
    """Places in the order of their latitudes, so that few are compared with each other one.

    Args:
        places: any number.
        pixels: the side of a tile, in pixels of 10 m.
    """

    def __init__(self, places: Iterable[Place], pixels: int) -> None:
        found = sorted(set(places), key=lambda place: float(place[1]))
        self._places = found
        self._lon, self._lat = np.array(found, dtype=np.float64).reshape(-1, 2).T
        self._span = pixels * DEGREES_PER_PIXEL

    def sharing_ground(self, others: Iterable[Place]) -> set[Place]:
        """Those whose tiles overlap one of the others, which may be among them."""
        span = self._span
        near = np.zeros(len(self._places), dtype=bool)
        for place in set(others):
            at_lon, at_lat = map(float, place)
            # Twice as far as counts, so that no rounding leaves one out.
            some = slice(*np.searchsorted(self._lat, (at_lat - 2 * span, at_lat + 2 * span)))
            lon, lat = self._lon[some], self._lat[some]
            east = np.abs((lon - at_lon + 180) % 360 - 180)
            shrunk = np.cos(np.radians(np.maximum(np.abs(lat), abs(at_lat))))
            near[some] |= (np.abs(lat - at_lat) < span) & (east * shrunk < span)
        return {self._places[index] for index in np.flatnonzero(near)}
