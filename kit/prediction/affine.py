"""An average image -> the space that the server compares in, by three integers a channel.

The server stretches each channel of each truth between its own extremes. What an average, stretched
alike, says of such a truth is less than it shows: its contrast is shrunk, and so is how far its
mean lies from that of all truths. In: an image [3, H, W] of uint16. Out: another, exact to the last
bit: no machine's floating point decides a digit of an archive. Refused: values that are no such
integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.scaling import UINT16_MAX

ONE = 65536
"""The integer that a slope of 1 is."""
_STEEPEST = 1 << 24  # a slope of 256; with it, no sum exceeds 64 bits


@dataclass(frozen=True, slots=True)
class Affine:
    """For each channel `within`, `between` and `offset`, all integers.

    A channel that is stretched to pixels x with the mean m becomes
    (within * (x - m) + between * m) / 65536 + offset, clipped to uint16; all is rounded half up.
    Where within and between are equal, that is a straight line; where both are 0, one colour.
    """

    channels: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be applied exactly.

        Raises:
            ValueError: not three integers for each of three channels, or one is too large.
        """
        numbers = [number for channel in self.channels for number in channel]
        if [len(channel) for channel in self.channels] != [3, 3, 3]:
            raise ValueError("an affine has three integers for each of three channels")
        if any(type(number) is not int or abs(number) > _STEEPEST for number in numbers):
            raise ValueError(f"an affine has integers of at most {_STEEPEST}")

    def apply(self, image: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The image [3, H, W] in the other space.

        Args:
            image: [3, H, W].
        """
        result = np.empty_like(image)
        for pixels, (within, between, offset), out in zip(
            image, self.channels, result, strict=True
        ):
            moved = stretch_channel(pixels)
            mean = (2 * int(moved.sum()) + pixels.size) // (2 * pixels.size)
            moved *= within
            moved += (between - within) * mean + offset * ONE + ONE // 2
            moved >>= 16
            out[...] = moved.clip(0, UINT16_MAX)
        return result

    def as_json(self) -> list[list[int]]:
        """The integers, channel by channel."""
        return [[*channel] for channel in self.channels]


def stretch_channel(pixels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """A channel between its own extremes, as the server stretches it, over all of uint16.

    Rounded half up; a channel of one value becomes zero.

    Args:
        pixels: [H, W].
    """
    low, high = int(pixels.min()), int(pixels.max())
    span = max(high - low, 1)
    stretched = pixels.astype(np.int64)
    stretched -= low
    stretched *= 2 * UINT16_MAX
    stretched += span
    stretched //= 2 * span
    return stretched


def parse_affine(values: Any) -> Affine | None:
    """What `Affine.as_json` returned; None for None.

    Raises:
        ValueError: it is no such thing.
    """
    if values is None:
        return None
    if not isinstance(values, Sequence) or len(values) != 3:
        raise ValueError(f"no affine of three channels: {str(values)[:80]}")
    red, green, blue = (tuple(channel) for channel in values)
    return Affine((red, green, blue))
