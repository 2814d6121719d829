"""Where images lie: by their own transform, by their names, or in places made up for them.

In: grids and fields. Out: longitude and latitude as the names of tiles give them. A made-up place
lies in a block of its own, unless images belong to one group: these lie so near to each other that
they count as the same ground, and none of them is held out while another is trained on.
"""

from collections import Counter
from collections.abc import Mapping

from rasterio.warp import transform

from kit.errors import InputError
from kit.ground import Place
from kit.tiles.raster import Grid

_COLUMNS, _ROWS = 1800, 300
_STEP, _MARGIN = 0.2, 0.05  # degrees
_WITHIN = 1e-7  # degrees between two images of a group
_DIGITS = 5  # a metre


class MadeUp:
    """Places of images that say nothing of theirs, numbered in the order of asking.

    Args:
        from_end: number them from the last one on, so that they are none of those that images to
            train on have.
    """

    def __init__(self, *, from_end: bool = False) -> None:
        self._from_end = from_end
        self._groups: dict[tuple[str, ...], int] = {}
        self._members: Counter[tuple[str, ...]] = Counter()

    def place(self, group: tuple[str, ...]) -> Place:
        """A new place of a group.

        Raises:
            InputError: there are more groups than places.
        """
        number, limit = self._groups.setdefault(group, len(self._groups)), 2 * _ROWS * _COLUMNS
        if number >= limit:
            problem = f"more than {limit:,} images, or groups of them, say nothing of their place"
            raise InputError("--source", problem, remedy="give them in several folders")
        row, column = divmod(limit - 1 - number if self._from_end else number, _COLUMNS)
        north = _MARGIN + _STEP * (row % _ROWS)
        lat = (north if row < _ROWS else -north) + _WITHIN * self._members[group]
        self._members[group] += 1
        return f"{-180 + _MARGIN + _STEP * column:.2f}", f"{lat:.7f}"


def place_of(grid: Grid, height: int, width: int) -> Place | None:
    """The centre of a grid in degrees; None where it does not say in which projection it is."""
    if not grid.crs:
        return None
    x, y = grid.at(width / 2, height / 2)
    lon, lat = transform(grid.crs, "EPSG:4326", [x], [y])[:2]
    return f"{lon[0]:.{_DIGITS}f}", f"{lat[0]:.{_DIGITS}f}"


def named_place(fields: Mapping[str, str]) -> Place | None:
    """The place that the fields of a name give, as tiles write it."""
    if "lon" not in fields or "lat" not in fields:
        return None
    lon, lat = (text if "." in text else f"{text}.0" for text in (fields["lon"], fields["lat"]))
    return lon, lat
