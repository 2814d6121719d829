"""Optical tiles that hold floats -> DN, by the values of the scene.

In: the bands of one scene, as files hold them. Out: uint16 DN, or which unit the floats are in. A
scene whose colours never exceed 10 holds reflectance, of which DN is 10000 times; one that exceeds
255 holds DN. Refused by name: what is neither, or cannot be told. Whether floats are admitted at
all is for `kit.tiles.units` to say.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.tiles.names import RGB_BANDS

Unit = Literal["reflectance", "DN"]
AS = {"reflectance": "as reflectance, DN = 10000 x value", "DN": "as DN"}
"""How floats of a unit are read, in words."""
_SCALES: dict[Unit, float] = {"reflectance": 10_000.0, "DN": 1.0}
_MOST_REFLECTANCE = 10.0  # uint16 holds 6.5535
_LEAST_DN = 255.0  # less is 8 bits, or percent
_MOST_DN = float(np.iinfo(np.uint16).max)
_FILL = -1000.0  # DN; the offset of processing baseline 04.00 moves none as far
_REMEDY = (
    "write DN as uint16; reflectance in 0 to 1 becomes it by "
    "gdal_translate -ot UInt16 -scale 0 1 0 10000 IN OUT"
)


def unit_of(where: str, colors: Sequence[NDArray[Any]]) -> Unit:
    """What the colours [H, W] of one scene are in, by the largest of their values.

    Raises:
        InputError: they are neither reflectance nor DN.
    """
    largest = max(float(band.max(initial=0, where=np.isfinite(band))) for band in colors)
    if largest <= _MOST_REFLECTANCE:
        return "reflectance"
    if _LEAST_DN < largest <= _MOST_DN:
        return "DN"
    problem = f"its colours are floats up to {largest:g}: neither reflectance nor DN"
    raise InputError(where, problem, remedy=_REMEDY)


def to_dn(
    where: str, bands: Sequence[NDArray[Any]], count: int = len(RGB_BANDS)
) -> list[NDArray[np.uint16]]:
    """The bands [H, W] of one scene in the order of `kit.tiles.names.S2_BANDS`, as uint16.

    DN are rounded to the nearest, and cut off at 0 and 65535. A pixel with a colour that is not
    finite, or less than -1000 as DN, is 0 in all of them. QA60 holds whole numbers.

    Args:
        where: what an error names.
        bands: colours, all floats or all uint16, and QA60 after them, if at all.
        count: how many of them are colours.

    Raises:
        InputError: colours are floats of neither unit, or of two types; QA60 holds no bits.
    """
    colors, others = [*bands[:count]], bands[count:]
    if any(_is_float(band) for band in colors):
        if not all(_is_float(band) for band in colors):
            kinds = ", ".join(band.dtype.name for band in colors)
            raise InputError(where, f"its colours are {kinds}", remedy=_REMEDY)
        scale = _SCALES[unit_of(where, colors)]
        with np.errstate(invalid="ignore"):  # of NaN that signal, as damaged files may hold
            scaled = np.stack(colors).astype(np.float64) * scale
        invalid = ~np.isfinite(scaled) | (scaled < _FILL)
        scaled[:, invalid.any(axis=0)] = 0
        colors = [*np.rint(scaled).clip(0, _MOST_DN).astype(np.uint16)]
    return [*colors, *(_bits(where, band) for band in others)]


def _bits(where: str, band: NDArray[Any]) -> NDArray[np.uint16]:
    if not _is_float(band):
        return band
    bits = np.where(np.isfinite(band), band, 0)
    whole = bits.clip(0, _MOST_DN).astype(np.uint16)
    if (whole != bits).any():
        problem = "its QA60 is floats that are not whole numbers in 0 to 65535"
        raise InputError(where, problem, remedy="export QA60 as uint16")
    return whole


def _is_float(band: NDArray[Any]) -> bool:
    return band.dtype.kind == "f"
