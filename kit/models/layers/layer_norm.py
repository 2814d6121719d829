"""Layer norm of images: the channels of each pixel to mean 0 and variance 1, then a gain and bias.

In: features [B, C, h, w]. Out: the same shape. Statistics are taken in float32, also under
autocast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.layers.autocast import in_float32

_EPS = 1e-6  # of the published NAFNet


class LayerNorm(nn.Module):
    """Normalises the channels of each pixel, as NAFNet's authors do.

    By torch's own operation: with channels last, as the kit lays features out, the permutations
    around it cost nothing, and a training step on a CPU takes 0.75 to 0.8 of the time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        return in_float32(self._normalised, features)

    def _normalised(self, features: Tensor) -> Tensor:
        pixels = features.permute(0, 2, 3, 1)
        normed = F.layer_norm(pixels, (pixels.shape[-1],), self.weight, self.bias, _EPS)
        return normed.permute(0, 3, 1, 2)


class PlainLayerNorm(nn.Module):
    """The same without gain and bias, of plain operations for compilers.

    OpenVINO would transpose the features before and after torch's operation: a NAFNet of width 16
    takes 0.6 to 0.7 of the time so.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        centred = features - features.mean(dim=1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + _EPS)
