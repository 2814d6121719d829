"""NAFNet: a U-shaped network of blocks without activation functions, for regression.

In: inputs [B, C, H, W] in [-1, 1], VV and VH first. Out: RGB [B, 3, H, W] in [-1, 1]. Any H and W
from 1 on work.
After Chen et al., "Simple Baselines for Image Restoration" (ECCV 2022), written from the paper. Two
things differ, because the output is no restored input: it is not added to the input, and it is kept
in its range.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from kit.models.layers.autocast import in_float32
from kit.models.layers.doubling import doubling
from kit.models.layers.layer_norm import LayerNorm
from kit.models.layers.means import RADAR, BoxMeans
from kit.models.layers.output import Bounded, Output
from kit.models.layers.padding import reflect_to_multiple

_ENCODER = (1, 1, 1, 2)  # blocks at full size, at 1/2, 1/4 and 1/8
_MIDDLE = 2  # blocks at 1/16
_DECODER = 1  # block at each size on the way up


class Gate(nn.Module):
    """Half of the channels times the other half, in place of an activation."""

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, 2 C, h, w] to features [B, C, h, w]."""
        one, other = features.chunk(2, dim=1)
        return one * other


class Scale(nn.Module):
    """Multiplies each channel by a weight that starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        return self.weight * features


class ChannelAttention(nn.Module):
    """Scales each channel by a linear function of the means of all channels over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.means = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        scale: Tensor = self.conv(in_float32(self.means, features))
        return features * scale


class NafBlock(nn.Module):
    """A gated depthwise convolution with channel attention, then a gated layer of single pixels.

    Each is scaled and added to its input, so that an untrained block changes nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.norm_1 = LayerNorm(channels)
        self.conv_1 = nn.Conv2d(channels, wide, 1)
        self.conv_2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.attention = ChannelAttention(channels)
        self.conv_3 = nn.Conv2d(channels, channels, 1)
        self.scale_1 = Scale(channels)
        self.norm_2 = LayerNorm(channels)
        self.conv_4 = nn.Conv2d(channels, wide, 1)
        self.conv_5 = nn.Conv2d(channels, channels, 1)
        self.scale_2 = Scale(channels)
        self.gate = Gate()

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        change = self.gate(self.conv_2(self.conv_1(self.norm_1(features))))
        features = features + self.scale_1(self.conv_3(self.attention(change)))
        change = self.gate(self.conv_4(self.norm_2(features)))
        output: Tensor = features + self.scale_2(self.conv_5(change))
        return output


class NafNet(nn.Module):
    """Predicts RGB from SAR.

    Args:
        width: channels at full size; at 1/16 there are 16 times as many.
        inputs: channels of the input.
        boxes: sides of the boxes whose means are added to them.
        output: how colours are kept in their range, as `Bounded` takes it.
    """

    def __init__(
        self,
        width: int = 32,
        inputs: int = RADAR,
        boxes: tuple[int, ...] = (),
        output: Output = "tanh",
    ) -> None:
        super().__init__()
        self.box_means = BoxMeans(boxes)
        widths = [width * 2**halving for halving in range(len(_ENCODER) + 1)]
        self.intro = nn.Conv2d(inputs + RADAR * len(boxes), width, 3, padding=1)
        self.encoders = nn.ModuleList(map(_blocks, widths, _ENCODER))
        self.downs = nn.ModuleList(nn.Conv2d(n, w, 2, stride=2) for n, w in pairwise(widths))
        self.middle = _blocks(widths[-1], _MIDDLE)
        self.ups = nn.ModuleList(doubling(w, w // 2, bias=False) for w in reversed(widths[1:]))
        self.decoders = nn.ModuleList(_blocks(n, _DECODER) for n in reversed(widths[:-1]))
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        self.output = Bounded(output)

    def forward(self, sar: Tensor) -> Tensor:
        """Inputs [B, C, H, W] in [-1, 1] to RGB [B, 3, H, W] in [-1, 1]."""
        planes = self.box_means(sar)
        features = self.intro(reflect_to_multiple(planes, 2 ** len(_ENCODER), least=1))
        skipped = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skipped.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skipped.pop())
        rgb: Tensor = self.output(in_float32(self.ending, features))
        return rgb[..., : sar.shape[-2], : sar.shape[-1]]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NafBlock(channels) for _ in range(count)))
