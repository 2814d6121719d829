"""Counts -> a histogram of two kinds of things, one stacked on the other, with a limit marked.

In: where the bars stand, the counts of both kinds, ticks and the limit. Out: an image in memory.
A bar that would press the others flat is broken off, with its count written above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# Blue and vermilion of Okabe and Ito, which every eye tells apart.
COLORS = ((0, 114, 178), (213, 94, 0))
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 60, 24
_TEXT, _LINE = 13, 17
_PAPER, _INK, _PALE = (255, 255, 255), (0, 0, 0), (214, 214, 214)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram, in the unit of its x axis.

    Args:
        title: above it.
        kinds: the names of the two kinds.
        spans: [bars, 2], the left and right edge of each bar, in ascending order.
        counts: [bars, 2], of each kind.
        ticks: positions and their labels.
        limit: position and label of the line that is marked.
    """

    title: str
    kinds: tuple[str, str]
    spans: NDArray[np.float64]
    counts: NDArray[np.int64]
    ticks: Sequence[tuple[float, str]]
    limit: tuple[float, str]

    def draw(self, width: int, height: int) -> Image.Image:
        """The image, of so many pixels."""
        image = Image.new("RGB", (width, height), _PAPER)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=_TEXT)
        first, last = float(self.spans.min()), float(self.spans.max())
        floor = height - _BOTTOM
        top, step = self._height_of_axis()

        def x(value: float) -> int:
            return _LEFT + round((value - first) / (last - first) * (width - _LEFT - _RIGHT))

        def y(count: float) -> int:
            return floor - round(count / top * (floor - _TOP))

        for count in range(0, top + 1, step):
            draw.line((_LEFT, y(count), width - _RIGHT, y(count)), _PALE)
            draw.text((_LEFT - 5, y(count)), f"{count:,}", _INK, font, anchor="rm")
        for (left, right), counts in zip(self.spans, self.counts, strict=True):
            box = x(left) + 1, x(right) - 1
            below = floor
            for count, color in zip(counts.tolist(), COLORS, strict=True):
                if count:
                    # Two pixels at least: a single scene near the limit is what one looks for.
                    above = max(_TOP - 8, min(below - 2, below - (floor - y(count))))
                    draw.rectangle((box[0], above, box[1], below - 1), color)
                    below = above
            if counts.sum() > top:
                draw.line((box[0] - 2, _TOP + 8, box[1] + 2, _TOP + 2), _PAPER, 4)
                middle = min(sum(box) / 2, width - _RIGHT - font.getlength(f"{counts.sum():,}") / 2)
                draw.text((middle, _TOP - 9), f"{counts.sum():,}", _INK, font, anchor="mb")
        draw.line((_LEFT, floor, width - _RIGHT, floor), _INK)
        for value, label in self.ticks:
            draw.line((x(value), floor, x(value), floor + 4), _INK)
            draw.text((x(value), floor + 6), label, _INK, font, anchor="mt")
        self._draw_head(draw, font, x(self.limit[0]), floor, width)
        return image

    def _height_of_axis(self) -> tuple[int, int]:
        """The count at its top, and the step of its ticks."""
        *others, largest = sorted(self.counts.sum(axis=1).tolist())
        second = others[-1] if others else 0
        if 0 < second < largest / 8:
            largest = second
        raw = max(1, largest / 4)
        power = 10 ** int(np.log10(raw))
        step = next(n * power for n in (1, 2, 5, 10) if n * power >= raw)
        return -(-max(1, largest) // step) * step, step

    def _draw_head(
        self,
        draw: ImageDraw.ImageDraw,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
        at: int,
        floor: int,
        width: int,
    ) -> None:
        draw.text((_LEFT, 2), self.title, _INK, font)
        right = width - _RIGHT
        for kind, color, total in reversed(
            [*zip(self.kinds, COLORS, self.counts.sum(axis=0).tolist(), strict=True)]
        ):
            words = f"{total:,} {kind}"
            right -= round(font.getlength(words))
            draw.text((right, 2), words, _INK, font)
            draw.rectangle((right - 15, 5, right - 5, 15), color)
            right -= 30
        for start in range(_LINE + 8, floor, 6):
            draw.line((at, start, at, start + 3), _INK, 2)
        fits = width - _RIGHT - at > font.getlength(self.limit[1]) + 6
        place = (at + 6, "lt") if fits else (at - 6, "rt")
        draw.text((place[0], _LINE + 8), self.limit[1], _INK, font, anchor=place[1])
