"""3 x 3 convolutions that train fast on small maps on a CPU.

oneDNN, which convolves for torch on a CPU, lays the weights out anew at every call, and their
gradient back again. Where a map has few pixels for its many channels, that takes longer than the
arithmetic, and gathering every pixel's neighbourhood into a row of a matrix does not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Of as many pixels to an output channel, a step took 1.05 to 1.3 times as long with oneDNN (torch
# 2.13, two cores with AVX-512, float32, 128 to 1024 channels); of twice as many about as long.
_PIXELS_PER_CHANNEL = 2


class Convolution3x3(nn.Conv2d):
    """torch's convolution with a 3 x 3 kernel and a stride of one."""

    def __init__(self, channels_in: int, channels_out: int, padding: int = 0) -> None:
        super().__init__(channels_in, channels_out, 3, padding=padding)
        self.border = padding

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features [B, C', h - 2 + 2p, w - 2 + 2p] for a padding of p."""
        return convolve3x3(features, self.weight, self.bias, self.border)


def convolve3x3(features: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """`F.conv2d` of features [B, C, h, w] with a weight [C', C, 3, 3], by the faster of two ways.

    Evaluation takes torch's own alone, so that exported graphs are of convolutions.
    """
    if not _small(features, weight):
        return F.conv2d(features, weight, bias, padding=padding)
    if padding:
        features = F.pad(features, 4 * (padding,))
    batch, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)
    around = pixels.index_select(0, _neighbours(batch, height, width))
    matrix = weight.permute(0, 2, 3, 1).flatten(1)
    drawn = F.linear(around.view(-1, 9 * channels), matrix, bias)
    return drawn.view(batch, height - 2, width - 2, -1).permute(0, 3, 1, 2)


def _small(features: Tensor, weight: Tensor) -> bool:
    """Whether the map is small enough, and this is where it was measured: training in float32."""
    learns = torch.is_grad_enabled() and weight.requires_grad
    if not learns or features.is_cuda or torch.is_autocast_enabled("cpu"):
        return False
    pixels = features.numel() // features.shape[1]
    last = features.is_contiguous(memory_format=torch.channels_last)
    return last and pixels <= _PIXELS_PER_CHANNEL * len(weight)


def _neighbours(batch: int, height: int, width: int) -> Tensor:
    """For each inner pixel of maps [B, h, w], which nine of all pixels lie around it."""
    pixels = torch.arange(batch * height * width).view(batch, height, width)
    return pixels.unfold(1, 3, 1).unfold(2, 3, 1).flatten()
