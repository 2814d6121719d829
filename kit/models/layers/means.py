"""Means of the radar, over boxes around each pixel or over the cells of a coarser map.

In: the planes of a network [B, C, H, W], of which the first two are VV and VH. Speckle is noise of
single pixels; its mean over n independent ones varies by the square root of n less. Both layers
have no weights, and stay in float32 where the rest of a network is rounded.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Resize = Literal["nearest", "mean"]

RADAR = 2
"""VV and VH, the first planes of every input."""


class BoxMeans(nn.Module):
    """Adds to the planes the means of VV and VH over square boxes around each pixel.

    At a border the mean is over the pixels of the box that are there. In dB, so that it is the
    geometric mean of the powers, less the few that were clipped.

    Args:
        sides: of the boxes in pixels, each odd.
    """

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        self.sides = tuple(sides)

    def forward(self, planes: Tensor) -> Tensor:
        """Planes [B, C, H, W] to planes [B, C + 2 n, H, W] for n boxes, in the order of these."""
        if not self.sides:
            return planes
        return torch.cat([planes, *(_box_mean(planes[:, :RADAR], s) for s in self.sides)], dim=1)


class RadarResize(nn.Module):
    """Brings the planes to the size of a coarser map, whose sides divide theirs.

    Args:
        how: "nearest" takes the first pixel of each cell, "mean" the mean of all its pixels.
    """

    def __init__(self, how: Resize) -> None:
        super().__init__()
        self.how = how

    def forward(self, planes: Tensor, size: Sequence[int]) -> Tensor:
        """Planes [B, C, H, W] to planes [B, C, h, w] of `size`."""
        if self.how == "nearest":
            return F.interpolate(planes, size=size, mode="nearest")
        cell = (planes.shape[-2] // size[0], planes.shape[-1] // size[1])
        return planes if cell == (1, 1) else F.avg_pool2d(planes, cell)


def _box_mean(radar: Tensor, side: int) -> Tensor:
    """Along one axis and then along the other: a box cut by a border is still a rectangle."""
    half = side // 2
    along = F.avg_pool2d(radar, (1, side), 1, (0, half), count_include_pad=False)
    return F.avg_pool2d(along, (side, 1), 1, (half, 0), count_include_pad=False)
