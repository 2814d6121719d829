"""Values of one or several bands -> how they are distributed, over an axis with a range marked.

In: values, the axis and the range that networks are given. Out: an image in memory, or a line of
blocks for a terminal. Values beyond the axis count in its outermost bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
_TEXT, _BOTTOM, _SIDE = 13, 22, 10
_PAPER, _INK, _PALE = (255, 255, 255), (0, 0, 0), (228, 228, 228)
_BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Distribution:
    """Bands whose values share an axis.

    Args:
        bands: the values of each band, of any shape and finite, and its colour.
        axis: its left and its right end.
        clipped: what networks are given lies between these; the rest of the axis is grey.
    """

    bands: Sequence[tuple[NDArray[np.generic], Color]]
    axis: tuple[float, float]
    clipped: tuple[float, float]

    def draw(self, size: int) -> Image.Image:
        """The image, a square of so many pixels: a line for each band."""
        image = Image.new("RGB", (size, size), _PAPER)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=_TEXT)
        left, right, floor = _SIDE, size - _SIDE, size - _BOTTOM
        low, high = self.axis

        def x(value: float) -> float:
            return left + (value - low) / (high - low) * (right - left)

        draw.rectangle((left, 0, x(self.clipped[0]), floor), _PALE)
        draw.rectangle((x(self.clipped[1]), 0, right, floor), _PALE)
        shares = [self._shares(values, right - left) for values, _ in self.bands]
        top = max((float(share.max()) for share in shares), default=0) or 1.0
        for share, (_, color) in zip(shares, self.bands, strict=True):
            heights = floor - share / top * (floor - 8)
            points = [(left + number + 0.5, height) for number, height in enumerate(heights)]
            draw.line(points, color, 2)
        draw.line((left, floor, right, floor), _INK)
        for value in self.clipped:
            draw.line((x(value), floor, x(value), floor + 4), _INK)
            draw.text((x(value), floor + 5), f"{value:g}", _INK, font, anchor="mt")
        return image

    def line(self, characters: int) -> str:
        """The first band in so many characters, each as high as the values below it are many."""
        share = self._shares(self.bands[0][0], characters)
        # A bar of a few values shows as the lowest block: what is there is never blank.
        levels = np.ceil(share / (share.max() or 1) * (len(_BLOCKS) - 1)).astype(int)
        return "".join(_BLOCKS[level] for level in levels)

    def _shares(self, values: NDArray[np.generic], bars: int) -> NDArray[np.float64]:
        """The share of the values in each of so many bars; all 0 without a value."""
        inside = np.clip(np.ravel(values).astype(np.float64), *self.axis)
        counts, _ = np.histogram(inside, bars, self.axis)
        return counts / max(1, inside.size)
