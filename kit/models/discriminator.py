"""The multi-scale patch discriminator, in the form of SPADE or of pix2pixHD.

In: inputs [B, C, H, W] and RGB [B, 3, H, W], both in [-1, 1], from 3 x 3 pixels on. Out: a list
with one prediction map per scale, the full resolution first, then the halved one. A cell of a map
rates a patch 70 pixels wide and is high where the image looks real. Both published forms have this
topology: 4 x 4 convolutions padded by 2, hence odd sizes (35 and 19 for 256 pixels).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.initialise import initialise_pix2pixhd, initialise_spade
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.layers.spectral_norm import Rule, spectral_norm
from kit.variants.settings import Model

_SCALES = 2
_WIDEST = 512


class Discriminator(nn.Module):
    """Rates an image, together with the SAR that it should show, as real or fake.

    Args:
        kind: "spade" normalises the inner convolutions spectrally and gives them no bias,
            "pix2pixhd", and whatever has no discriminator of its own, has plain ones with bias.
        width: the published ndf: channels of the first map; later ones double it, up to 512.
        rule: of the spectral norms.
        inputs: channels of what the image was predicted from.
    """

    def __init__(
        self, kind: Model, width: int = 64, rule: Rule = "published", inputs: int = 2
    ) -> None:
        super().__init__()
        self.kind = kind
        self.scales = nn.ModuleList(
            _patch_network(kind, inputs + 3, width, rule) for _ in range(_SCALES)
        )
        (initialise_spade if kind == "spade" else initialise_pix2pixhd)(self)

    def forward(self, sar: Tensor, rgb: Tensor) -> list[Tensor]:
        """The maps [B, 1, h, w] of all scales, the full resolution first."""
        image = torch.cat([sar, rgb], dim=1)
        maps = []
        for scale in self.scales:
            maps.append(scale(image))
            image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return maps


def _patch_network(kind: Model, channels: int, width: int, rule: Rule) -> nn.Sequential:
    """Five convolutions; their positions 0, 2, 5, 8 and 11 are pix2pixHD's."""
    layers: list[nn.Module] = [_convolution(channels, width, stride=2), _activation()]
    channels = width
    for stride in (2, 2, 1):
        wider = min(2 * channels, _WIDEST)
        if kind == "spade":
            convolution = _convolution(channels, wider, stride, bias=False)
            convolution = spectral_norm(convolution, rule)
        else:
            convolution = _convolution(channels, wider, stride)
        layers += [convolution, InstanceNorm(wider), _activation()]
        channels = wider
    return nn.Sequential(*layers, _convolution(channels, 1, stride=1))


def _convolution(inputs: int, outputs: int, stride: int, bias: bool = True) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 4, stride=stride, padding=2, bias=bias)


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)
