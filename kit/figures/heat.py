"""Numbers [H, W] -> colours from black over red to pale yellow, brighter wherever more."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ERROR_FULL = 0.2
"""The error in [0, 1] at the pale end of an error map."""

# Five colours of the map "inferno", which reads the same in grey and to every eye.
_STOPS = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64
)


def heat(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """The colours [H, W, 3] of numbers [H, W]: black at `low` and below, pale at `high` and above.

    NaN is black.
    """
    share = np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))
    at = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(share, at, channel) for channel in _STOPS.T]
    colors: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colors


def error_map(image: NDArray[np.generic], truth: NDArray[np.generic]) -> Image.Image:
    """The mean absolute error of the channels of an image [3, H, W] in [0, 1].

    Black where there is none, pale where it is `ERROR_FULL` and more.
    """
    errors = np.abs(image.astype(np.float64) - truth.astype(np.float64)).mean(axis=0)
    return Image.fromarray(heat(errors, 0, ERROR_FULL))
