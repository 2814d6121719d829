"""One band as its file holds it: pixels, which of them are valid, and where it lies.

Official tiles do not say where they lie, and their names are all that places them. What says
something has to agree: the bands of a scene, and the two scenes of a pair, pixel for pixel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 0.5  # pixels: exports of one region round its corner differently


@dataclass(frozen=True, slots=True)
class Grid:
    """A declared placement of pixels.

    `transform` is (a, b, c, d, e, f): the pixel corner (column, row) lies at
    (a column + b row + c, d column + e row + f) in `crs`, "EPSG:4326" or WKT; "" if not declared.
    """

    transform: tuple[float, ...]
    crs: str

    def __str__(self) -> str:
        return " ".join((*map(repr, self.transform), self.crs))

    @classmethod
    def parse(cls, text: str) -> "Grid":
        """The grid that `str` wrote."""
        *numbers, crs = text.split(" ", 6)
        return cls(tuple(map(float, numbers)), crs)

    @classmethod
    def of(cls, tile: Any) -> "Grid | None":
        """The grid of an open rasterio data set; None where it declares none."""
        if tile.transform.is_identity:
            return None
        epsg = tile.crs.to_epsg() if tile.crs else None
        crs = f"EPSG:{epsg}" if epsg else tile.crs.to_wkt() if tile.crs else ""
        return cls(tuple(tile.transform)[:6], crs)

    def bounds(self, height: int, width: int) -> tuple[float, float, float, float]:
        """West, south, east and north of so many pixels, in the unit of the CRS."""
        corners = ((0, 0), (width, 0), (0, height), (width, height))
        x, y = zip(*(self.at(*corner) for corner in corners), strict=True)
        return min(x), min(y), max(x), max(y)

    def at(self, column: Any, row: Any) -> tuple[Any, Any]:
        """x and y, in the unit of the CRS, of a pixel's upper left corner; numbers or arrays."""
        a, b, c, d, e, f = self.transform
        return a * column + b * row + c, d * column + e * row + f

    @property
    def south_up(self) -> bool:
        """Whether its rows run from south to north."""
        return self.transform[4] > 0

    def mismatch(self, other: "Grid", height: int, width: int) -> str:
        """How another grid of the same size differs; "" if it agrees to half a pixel."""
        if self.crs and other.crs and self.crs != other.crs:
            return f"its CRS is {_short(self.crs)}, the other's {_short(other.crs)}"
        corners = ((0, 0), (width, 0), (0, height), (width, height))
        shift = max(self._shift(other, *corner) for corner in corners)
        return f"its corners lie {shift:.4g} pixels apart" if shift > _TOLERANCE else ""

    def _shift(self, other: "Grid", column: int, row: int) -> float:
        """How far apart a corner lies, in pixels of this grid."""
        a, b, _, d, e, _ = self.transform
        (x, y), (u, v) = self.at(column, row), other.at(column, row)
        return float(max(abs(x - u) / (abs(a) + abs(b)), abs(y - v) / (abs(d) + abs(e))))


@dataclass(frozen=True, slots=True)
class Raster:
    """A band.

    `pixels` are [H, W], of the file's own type and as it holds them. `invalid` says where the file
    declares that they mean nothing: by a mask, an alpha band or a nodata value; None where it
    declares nothing. `grid` is None where the file does not say where it lies. `float16` says
    whether it holds floats of 16 bits.
    """

    pixels: NDArray[np.generic]
    invalid: NDArray[np.bool_] | None = None
    grid: Grid | None = None
    float16: bool = False

    def blanked(self) -> NDArray[np.generic]:
        """The pixels, NaN or 0 where they mean nothing."""
        if self.invalid is None:
            return self.pixels
        blank: Any = np.nan if self.pixels.dtype.kind == "f" else 0
        result: NDArray[np.generic] = np.where(
            self.invalid, self.pixels.dtype.type(blank), self.pixels
        )
        return result


def _short(crs: str) -> str:
    return crs if len(crs) <= 40 else f"{crs[:40]}..."
