"""Pixels -> an image inside a page, as a `data:` URI.

In: reflectance [3, H, W] or a plane [H, W] in [0, 1]; an error map; an image in memory. Out: WebP,
which is a third of a PNG of the same look.
"""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kit.figures.grid import fitted, thumbnail
from kit.figures.heat import ERROR_FULL, error_map, heat

CELL = 192
_QUALITY, _EFFORT = 82, 2  # more effort saves a tenth of the bytes and takes twice the time


def uri(image: Image.Image) -> str:
    """The URI of an image."""
    data = io.BytesIO()
    image.convert("RGB").save(data, "WEBP", quality=_QUALITY, method=_EFFORT)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def shown(image: NDArray[np.generic]) -> str:
    """The URI of reflectance [3, H, W], brightened as in every grid of the kit, or of [H, W]."""
    return uri(thumbnail(image, CELL))


def shown_errors(image: NDArray[np.floating], truth: NDArray[np.floating]) -> str:
    """The URI of the mean absolute error of the three channels, dark where there is none."""
    return uri(fitted(error_map(image, truth), CELL))


def error_scale() -> tuple[str, str, str]:
    """The scale of error maps: its URI, and the errors at its ends."""
    ramp = heat(np.tile(np.linspace(0, 1, 128), (8, 1)), 0, 1)
    return uri(Image.fromarray(ramp)), "0", f"{ERROR_FULL:g} and more"
