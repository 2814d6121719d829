"""Convolutions that train faster on a CPU than oneDNN's, which torch uses there.

oneDNN reorders the weights at every call, and their gradient back. Where a map has few pixels for
its many channels, that takes longer than the arithmetic; a matrix product over gathered 3 x 3
neighbourhoods is faster, if the processor multiplies matrices as fast as it convolves.

oneDNN computes at least sixteen output channels. For the three of an image, 2 x 2 pixels are
computed as one pixel with four times the channels: a larger kernel, but a third of the work.

In evaluation these are torch's own convolutions, so that exported graphs consist of those.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to as many pixels for an output channel, a step took 1.05 to 1.3 times as long with oneDNN
# (torch 2.13, two cores with AVX-512, float32, 128 to 1024 channels); at twice as many, as long.
_PIXELS_PER_CHANNEL = 2

_products_keep_up = False


@contextmanager
def with_products(keep_up: bool) -> Iterator[None]:
    """Have small maps multiplied meanwhile, if matrix products keep up with convolutions here."""
    global _products_keep_up
    before, _products_keep_up = _products_keep_up, keep_up
    try:
        yield
    finally:
        _products_keep_up = before


class Convolution3x3(nn.Conv2d):
    """torch's convolution with a 3 x 3 kernel and a stride of one."""

    def __init__(self, channels_in: int, channels_out: int, padding: int = 0) -> None:
        super().__init__(channels_in, channels_out, 3, padding=padding)
        self.border = padding

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features [B, C', h - 2 + 2p, w - 2 + 2p] for a padding of p."""
        return convolve3x3(features, self.weight, self.bias, self.border)


def convolve3x3(features: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """`F.conv2d` of features [B, C, h, w] with a weight [C', C, 3, 3], the faster of two ways."""
    if not (_products_keep_up and _trains_on_cpu(features, weight) and _small(features, weight)):
        return F.conv2d(features, weight, bias, padding=padding)
    if padding:
        features = F.pad(features, 4 * (padding,))
    batch, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)
    around = pixels.index_select(0, _neighbours(batch, height, width))
    matrix = weight.permute(0, 2, 3, 1).flatten(1)
    output = F.linear(around.view(-1, 9 * channels), matrix, bias)
    return output.view(batch, height - 2, width - 2, -1).permute(0, 3, 1, 2)


class ConvolutionToImage(nn.Conv2d):
    """torch's convolution to three channels, with an odd kernel, a stride of one and no padding."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, 3, size)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to an image [B, 3, h - k + 1, w - k + 1] for a kernel of k."""
        even = features.shape[-2] % 2 == features.shape[-1] % 2 == 0
        if not (even and _trains_on_cpu(features, self.weight)):
            return super().forward(features)
        assert self.bias is not None
        squares = F.conv2d(_squares(features), _by_squares(self.weight), self.bias.repeat(4))
        return _pixels(squares)


def _trains_on_cpu(features: Tensor, weight: Tensor) -> bool:
    """Whether this is the case that was measured: training on a CPU in float32, channels last."""
    if not (torch.is_grad_enabled() and weight.requires_grad):
        return False
    if features.is_cuda or torch.is_autocast_enabled("cpu"):
        return False
    return features.is_contiguous(memory_format=torch.channels_last)


def _small(features: Tensor, weight: Tensor) -> bool:
    pixels = features.numel() // features.shape[1]
    return pixels <= _PIXELS_PER_CHANNEL * len(weight)


def _neighbours(batch: int, height: int, width: int) -> Tensor:
    """For each inner pixel of maps [B, h, w], the indices of the nine pixels around it."""
    pixels = torch.arange(batch * height * width).view(batch, height, width)
    return pixels.unfold(1, 3, 1).unfold(2, 3, 1).flatten()


def _squares(features: Tensor) -> Tensor:
    """Each 2 x 2 pixels of features [B, C, h, w] as one, channels last: [B, 4 C, h / 2, w / 2].

    The four are in row order, each with all its channels, so that two of them are one copy.
    """
    batch, channels, height, width = features.shape
    pairs = features.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2 * channels)
    return pairs.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)


def _pixels(squares: Tensor) -> Tensor:
    """The inverse of `_squares`."""
    batch, channels, height, width = squares.shape
    pairs = squares.permute(0, 2, 3, 1).reshape(batch, height, width, 2, channels // 2)
    rows = pairs.transpose(2, 3).reshape(batch, 2 * height, 2 * width, channels // 4)
    return rows.permute(0, 3, 1, 2)


def _by_squares(weight: Tensor) -> Tensor:
    """The weight [4 C', 4 C, (k + 1) / 2, (k + 1) / 2] that is equivalent on `_squares`.

    Each of the four output pixels sees the kernel at its own place in the squares around it.
    """
    out, channels, size, _ = weight.shape
    half = (size + 1) // 2
    placed = [
        F.pad(weight, (right, 1 - right, down, 1 - down))
        .view(out, channels, half, 2, half, 2)
        .permute(0, 3, 5, 1, 2, 4)
        .reshape(out, 4 * channels, half, half)
        for down in (0, 1)
        for right in (0, 1)
    ]
    return torch.cat(placed).contiguous(memory_format=torch.channels_last)
