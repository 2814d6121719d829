"""pix2pixHD's global generator: four halvings, nine residual blocks, four doublings.

In: inputs [B, C, H, W] in [-1, 1], VV and VH first. Out: RGB [B, 3, H, W] in [-1, 1]. Any H and W
from 1 on work.
After Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs"
(CVPR 2018), written from the paper. Positions in `model` are the published ones. Every convolution
keeps its bias, as published, though in all but the last a norm cancels it.

With instance norm the network cannot see the level of the SAR: the first norm removes any offset.
"""

from itertools import pairwise

from torch import Tensor, nn

from kit.models.initialise import initialise_pix2pixhd
from kit.models.layers.autocast import in_float32
from kit.models.layers.convolution import Convolution3x3, ConvolutionToImage
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.layers.means import RADAR, BoxMeans
from kit.models.layers.padding import reflect_to_multiple

_HALVINGS = 4
_BLOCKS = 9


class ResidualBlock(nn.Module):
    """Two reflected 3 x 3 convolutions added to their input, at one width and size."""

    def __init__(self, channels: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            Convolution3x3(channels, channels),
            norm(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            Convolution3x3(channels, channels),
            norm(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        change: Tensor = self.conv_block(features)
        return features + change


class GlobalGenerator(nn.Module):
    """Predicts RGB from SAR.

    Args:
        width: the published ngf: channels at full size; at 1/16 there are 16 times as many.
        norm: the class of the norms; batch norms have a gain and a bias, instance norms none.
        inputs: channels of the input.
        boxes: sides of the boxes whose means are added to them.
    """

    def __init__(
        self,
        width: int = 64,
        norm: type[nn.Module] = InstanceNorm,
        inputs: int = RADAR,
        boxes: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.box_means = BoxMeans(boxes)
        planes = inputs + RADAR * len(boxes)
        widths = [width * 2**halving for halving in range(_HALVINGS + 1)]
        layers = [nn.ReflectionPad2d(3), *_normalised(nn.Conv2d(planes, width, 7), norm)]
        for narrow, wide in pairwise(widths):
            layers += _normalised(nn.Conv2d(narrow, wide, 3, stride=2, padding=1), norm)
        layers += [ResidualBlock(widths[-1], norm) for _ in range(_BLOCKS)]
        for wide, narrow in pairwise(reversed(widths)):
            # One row and column more than torch's default, so that the size doubles exactly.
            doubling = nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1)
            layers += _normalised(doubling, norm)
        layers += [nn.ReflectionPad2d(3), ConvolutionToImage(width, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        initialise_pix2pixhd(self)

    def forward(self, sar: Tensor) -> Tensor:
        """Inputs [B, C, H, W] in [-1, 1] to RGB [B, 3, H, W] in [-1, 1]."""
        # A map of one pixel has nothing to reflect.
        features = reflect_to_multiple(self.box_means(sar), 2**_HALVINGS, least=2)
        *layers, convolution, tanh = self.model
        for layer in layers:
            features = layer(features)
        rgb: Tensor = tanh(in_float32(convolution, features))
        return rgb[..., : sar.shape[-2], : sar.shape[-1]]


def _normalised(
    convolution: nn.Conv2d | nn.ConvTranspose2d, norm: type[nn.Module]
) -> list[nn.Module]:
    return [convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)]
