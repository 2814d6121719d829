"""Maps of twice the size by a convolution of single pixels and a shuffle."""

from torch import nn


def doubling(inputs: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """Twice the size: four pixels of one, as a transposed convolution of 2 x 2 computes them."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1, bias=bias), nn.PixelShuffle(2))
