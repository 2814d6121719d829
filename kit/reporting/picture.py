"""Pixels -> an image inside a page, as a `data:` URI.

In: reflectance [3, H, W] or a plane [H, W] in [0, 1]; an error map; an image in memory. Out: WebP,
which is a third of a PNG of the same look.
"""

import base64
import io

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from kit.figures.grid import thumbnail

CELL = 192
ERROR_FULL = 0.15
"""The error at the bright end of an error map."""
_ERRORS = "inferno"
_QUALITY, _EFFORT = 82, 2  # more effort saves a tenth of the bytes and takes twice the time


def uri(image: Image.Image) -> str:
    """The URI of an image."""
    data = io.BytesIO()
    image.convert("RGB").save(data, "WEBP", quality=_QUALITY, method=_EFFORT)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def shown(image: NDArray[np.generic], cell: int = CELL) -> str:
    """The URI of reflectance [3, H, W], brightened as in every grid of the kit, or of [H, W]."""
    return uri(thumbnail(image, cell))


def error_map(image: NDArray[np.floating], truth: NDArray[np.floating], cell: int = CELL) -> str:
    """The URI of the mean absolute error of the three channels, dark where there is none."""
    errors = np.abs(image.astype(np.float64) - truth).mean(axis=0)
    scaled = np.clip(errors / ERROR_FULL, 0, 1)
    colored = Image.fromarray(np.uint8(255 * colormaps[_ERRORS](scaled)[..., :3]))
    factor = cell / max(colored.size)
    size = tuple(max(1, round(side * factor)) for side in colored.size)
    return uri(colored.resize((size[0], size[1]), Image.Resampling.BOX))


def error_scale() -> tuple[str, str, str]:
    """The scale of error maps: its URI, and the errors at its ends."""
    ramp = np.uint8(255 * colormaps[_ERRORS](np.linspace(0, 1, 128))[None, :, :3])
    image = Image.fromarray(np.repeat(ramp, 8, axis=0))
    return uri(image), "0", f"{ERROR_FULL:g} and more"
