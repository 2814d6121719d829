"""The windows of a raster along one of its axes, and how much each counts at each pixel.

In: a length, the size of a window, and how far neighbours overlap. Out: where windows start, and
weights that fade from one into the next and add up to 1 at every pixel.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError


@dataclass(frozen=True)
class Windows:
    """Windows of one size along an axis, evenly spread from end to end.

    Args:
        length: of the axis in pixels.
        largest: the size of a window; all of a shorter axis is one window.
        overlap: by how many pixels neighbours overlap at least.

    Raises:
        InputError: a size of less than 1, or an overlap of more than half a window.
    """

    length: int
    largest: int
    overlap: int

    def __post_init__(self) -> None:
        if self.largest < 1:
            raise InputError(f"--size {self.largest}", "no window", remedy="give at least 1 pixel")
        if not 0 <= self.overlap <= self.largest // 2:
            problem = f"windows of {self.largest} pixels cannot overlap by so many"
            remedy = f"give 0 to {self.largest // 2}"
            raise InputError(f"--overlap {self.overlap}", problem, remedy=remedy)

    @property
    def size(self) -> int:
        """Of every window."""
        return min(self.largest, self.length)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first pixel of each window."""
        last = self.length - self.size
        steps = math.ceil(last / (self.size - self.overlap)) if last else 0
        return tuple(round(last * step / steps) for step in range(steps + 1)) if steps else (0,)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """How much each window counts at each of its pixels, [windows, size].

        Where windows overlap, the square of a sine leads from one to the next, so that the rims of
        windows, where a network sees least around a pixel, count least. Elsewhere it is exactly 1.
        """
        raw = np.ones((len(self.starts), self.size))
        for left, (start, following) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            shared = start + self.size - following
            rise = np.sin((np.arange(shared) + 0.5) / max(shared, 1) * np.pi / 2) ** 2
            raw[left + 1, :shared] *= rise
            raw[left, self.size - shared :] *= rise[::-1]
        total = np.zeros(self.length)
        for start, window in zip(self.starts, raw, strict=True):
            total[start : start + self.size] += window
        for start, window in zip(self.starts, raw, strict=True):
            window /= total[start : start + self.size]
        return raw.astype(np.float32)
