"""U-Net: the features of each size on the way down are carried across to the way up.

In: inputs [B, C, H, W] in [-1, 1], VV and VH first. Out: RGB [B, 3, H, W] in [-1, 1]. Any H and W
from 1 on work.
After Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (MICCAI
2015), written from the paper. Convolutions are padded, so that the output is of the input's size,
each is followed by a norm, and there are three halvings, not four.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from kit.models.layers.autocast import in_float32
from kit.models.layers.doubling import doubling
from kit.models.layers.means import RADAR, BoxMeans
from kit.models.layers.output import Bounded, Output
from kit.models.layers.padding import reflect_to_multiple

_HALVINGS = 3


class UNet(nn.Module):
    """Predicts RGB from SAR.

    Args:
        width: channels at full size; at 1/8 there are 8 times as many.
        norm: the class of the norms.
        inputs: channels of the input.
        boxes: sides of the boxes whose means are added to them.
        output: how colours are kept in their range, as `Bounded` takes it.
    """

    def __init__(
        self,
        width: int = 32,
        norm: type[nn.Module] = nn.BatchNorm2d,
        inputs: int = RADAR,
        boxes: tuple[int, ...] = (),
        output: Output = "tanh",
    ) -> None:
        super().__init__()
        self.box_means = BoxMeans(boxes)
        widths = [width * 2**halving for halving in range(_HALVINGS + 1)]
        planes = inputs + RADAR * len(boxes)
        self.encoders = nn.ModuleList(_twice(i, o, norm) for i, o in pairwise([planes, *widths]))
        self.halve = nn.MaxPool2d(2)
        steps = [(wide, narrow) for narrow, wide in reversed([*pairwise(widths)])]
        self.ups = nn.ModuleList(doubling(wide, narrow) for wide, narrow in steps)
        self.decoders = nn.ModuleList(_twice(2 * narrow, narrow, norm) for _, narrow in steps)
        self.ending = nn.Conv2d(width, 3, 1)
        self.output = Bounded(output)

    def forward(self, sar: Tensor) -> Tensor:
        """Inputs [B, C, H, W] in [-1, 1] to RGB [B, 3, H, W] in [-1, 1]."""
        first, *encoders = self.encoders
        planes = self.box_means(sar)
        # A map of one pixel has no statistics of its own.
        features = first(reflect_to_multiple(planes, 2**_HALVINGS, least=2))
        skipped = []
        for encoder in encoders:
            skipped.append(features)
            features = encoder(self.halve(features))
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(torch.cat([up(features), skipped.pop()], dim=1))
        rgb: Tensor = self.output(in_float32(self.ending, features))
        return rgb[..., : sar.shape[-2], : sar.shape[-1]]


def _twice(inputs: int, outputs: int, norm: type[nn.Module]) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with a norm and a ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [convolution, norm(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
