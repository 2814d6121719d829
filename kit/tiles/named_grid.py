"""Where a tile lies that only its name places.

In: the longitude and latitude of its name, and its size. Out: its grid. Official tiles are cuts of
one grid of the whole world in degrees, whose pixels measure 10 m on the equator; their coordinates
are those of the centre, rounded to a hundredth of a degree, which may be a pixel off.
"""

from kit.ground import DEGREES_PER_PIXEL, Place
from kit.tiles.raster import Grid

WGS84 = "EPSG:4326"


def named_grid(place: Place, height: int, width: int) -> Grid:
    """The grid of a tile of so many pixels, around its coordinates; its first row lies north."""
    lon, lat = map(float, place)
    step = DEGREES_PER_PIXEL
    west, north = lon - step * width / 2, lat + step * height / 2
    return Grid((step, 0.0, west, 0.0, -step, north), WGS84)
