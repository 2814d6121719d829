"""An image with some of its pixels tinted."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SHARE = 0.5


def tint(image: Image.Image, mask: NDArray[np.bool_], color: tuple[int, int, int]) -> Image.Image:
    """A copy whose pixels under the mask [H, W] are half of another colour, their border all of it.

    The mask may be of another size: a lone pixel of a large one is not averaged away.
    """
    pixels, set_ = np.array(image), resized(mask, image.size)
    inner = np.zeros_like(set_)
    inner[1:-1, 1:-1] = (
        set_[1:-1, 1:-1] & set_[:-2, 1:-1] & set_[2:, 1:-1] & set_[1:-1, :-2] & set_[1:-1, 2:]
    )
    pixels[inner] = np.rint((1 - _SHARE) * pixels[inner] + _SHARE * np.array(color))
    pixels[set_ & ~inner] = color
    return Image.fromarray(pixels)


def resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at another width and height, set wherever anything below is."""
    share = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.asarray(share) > 0
