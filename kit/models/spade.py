"""SPADE's generator: an image upsampled from 1/32 of its size, modulated by the SAR in every norm.

In: inputs [B, C, H, W] in [-1, 1], VV and VH first. Out: RGB [B, 3, H, W] in [-1, 1]. Any H and W
from 1 on work.
After Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization" (CVPR 2019),
written from the paper. Modules carry the published names, so that `kit.models.published` has little
to translate; only the number of input channels differs from the published network.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.initialise import initialise_spade
from kit.models.layers.autocast import in_float32
from kit.models.layers.convolution import Convolution3x3, convolve3x3
from kit.models.layers.means import RADAR, BoxMeans, RadarResize, Resize
from kit.models.layers.padding import reflect_to_multiple
from kit.models.layers.spectral_norm import Rule, spectral_norm
from kit.variants.settings import Depth

_DOUBLINGS = {"normal": 5, "more": 6, "most": 7}
_HIDDEN = 128
_SLOPE = 0.2


class Spade(nn.Module):
    """Normalises features, then scales and shifts every pixel as convolutions of the SAR say."""

    def __init__(self, channels: int, norm: type[nn.Module], planes: int = RADAR) -> None:
        super().__init__()
        self.param_free_norm = norm(channels, affine=False)
        shared = nn.Conv2d(planes, _HIDDEN, 3, padding=1)
        self.mlp_shared = nn.Sequential(shared, nn.ReLU(inplace=True))
        self.mlp_gamma = nn.Conv2d(_HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(_HIDDEN, channels, 3, padding=1)

    def forward(self, features: Tensor, sar: Tensor) -> Tensor:
        """Features [B, C, h, w] and inputs [B, C', h, w] to features of the same shape."""
        hidden = self.mlp_shared(sar)
        # As one convolution, which is faster than two with few outputs each.
        both = (self.mlp_gamma, self.mlp_beta)
        weight = torch.cat([convolution.weight for convolution in both])
        bias = torch.cat([c.bias for c in both if c.bias is not None])
        gamma, beta = convolve3x3(hidden, weight, bias, padding=1).chunk(2, dim=1)
        normalised: Tensor = self.param_free_norm(features)
        return normalised * (1 + gamma) + beta


class SpadeBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is learnt where the width changes."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        norm: type[nn.Module],
        rule: Rule,
        planes: int,
        resize: Resize,
    ) -> None:
        super().__init__()
        self.resize = RadarResize(resize)
        middle = min(channels_in, channels_out)
        self.conv_0 = spectral_norm(Convolution3x3(channels_in, middle, padding=1), rule)
        self.conv_1 = spectral_norm(Convolution3x3(middle, channels_out, padding=1), rule)
        self.norm_0 = Spade(channels_in, norm, planes)
        self.norm_1 = Spade(middle, norm, planes)
        self.learns_shortcut = channels_in != channels_out
        if self.learns_shortcut:
            shortcut = nn.Conv2d(channels_in, channels_out, 1, bias=False)
            self.conv_s = spectral_norm(shortcut, rule)
            self.norm_s = Spade(channels_in, norm, planes)

    def forward(self, features: Tensor, sar: Tensor) -> Tensor:
        """Features [B, C, h, w] and inputs [B, C', H, W] to features [B, D, h, w]."""
        sar = self.resize(sar, features.shape[-2:])
        change: Tensor = self.conv_0(F.leaky_relu(self.norm_0(features, sar), _SLOPE, inplace=True))
        change = self.conv_1(F.leaky_relu(self.norm_1(change, sar), _SLOPE, inplace=True))
        # The published shortcut has no activation between its norm and its convolution.
        shortcut = self.conv_s(self.norm_s(features, sar)) if self.learns_shortcut else features
        return shortcut + change


class SpadeGenerator(nn.Module):
    """Predicts RGB from SAR.

    Args:
        width: the published ngf: channels at full size, half as many for the depth "most".
        depth: "normal" starts at 1/32 of the image's size, "more" at 1/64, "most" at 1/128.
        norm: the class of the norms that the SAR modulates, a batch norm or an instance norm.
        rule: of the spectral norms; it decides how they train, and nothing in evaluation.
        inputs: channels of the input.
        boxes: sides of the boxes whose means are added to them.
        resize: how all of these are brought to the sizes of the first map and of the norms.
    """

    def __init__(
        self,
        width: int = 64,
        depth: Depth = "normal",
        norm: type[nn.Module] = nn.BatchNorm2d,
        rule: Rule = "published",
        inputs: int = RADAR,
        boxes: tuple[int, ...] = (),
        resize: Resize = "nearest",
    ) -> None:
        super().__init__()
        self.box_means = BoxMeans(boxes)
        self.resize = RadarResize(resize)
        planes = inputs + RADAR * len(boxes)
        block = partial(SpadeBlock, norm=norm, rule=rule, planes=planes, resize=resize)
        self.depth = depth
        self.shrink = 2 ** _DOUBLINGS[depth]
        self.norms_images = issubclass(norm, nn.InstanceNorm2d)
        self.fc = nn.Conv2d(planes, 16 * width, 3, padding=1)
        self.head_0 = block(16 * width, 16 * width)
        self.G_middle_0 = block(16 * width, 16 * width)
        self.G_middle_1 = block(16 * width, 16 * width)
        self.up_0 = block(16 * width, 8 * width)
        self.up_1 = block(8 * width, 4 * width)
        self.up_2 = block(4 * width, 2 * width)
        self.up_3 = block(2 * width, width)
        last = width
        if depth == "most":
            last = max(width // 2, 1)
            self.up_4 = block(width, last)
        self.conv_img = nn.Conv2d(last, 3, 3, padding=1)
        initialise_spade(self)

    def forward(self, sar: Tensor) -> Tensor:
        """Inputs [B, C, H, W] in [-1, 1] to RGB [B, 3, H, W] in [-1, 1]."""
        height, width = sar.shape[-2:]
        sar = self.box_means(sar)
        sar = reflect_to_multiple(sar, self.shrink, self._least_cells(sar))
        start = (sar.shape[-2] // self.shrink, sar.shape[-1] // self.shrink)
        x = self.fc(self.resize(sar, start))
        x = self.head_0(x, sar)
        x = self.G_middle_0(_doubled(x), sar)
        x = self.G_middle_1(x if self.depth == "normal" else _doubled(x), sar)
        x = self.up_0(_doubled(x), sar)
        x = self.up_1(_doubled(x), sar)
        x = self.up_2(_doubled(x), sar)
        x = self.up_3(_doubled(x), sar)
        if self.depth == "most":
            x = self.up_4(_doubled(x), sar)
        rgb = in_float32(self.conv_img, F.leaky_relu(x, _SLOPE, inplace=True)).tanh()
        return rgb[..., :height, :width]

    def _least_cells(self, sar: Tensor) -> int:
        """Cells that each side of the first map needs, for its norms to have two values to norm.

        The published network takes one cell with batch norm, unless it trains on a single image.
        """
        one_cell = max(sar.shape[-2:]) <= self.shrink
        alone = self.norms_images or (self.training and len(sar) == 1)
        return 2 if one_cell and alone else 1


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="nearest")
