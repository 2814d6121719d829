"""Transposed convolutions rewritten as sub-pixel convolutions: a convolution and a pixel shuffle.

In: a network. Out: the same function without `ConvTranspose2d`, which some compilers do not support
in every precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SubPixel(nn.Module):
    """A transposed 3 x 3 convolution that doubles the size, as one 2 x 2 convolution.

    Four of its output channels are the pixels of a 2 x 2 square, of which one has a single tap, two
    have two, and one has four; the other weights are zeros.
    """

    def __init__(self, doubling: nn.ConvTranspose2d) -> None:
        super().__init__()
        channels = doubling.out_channels
        self.convolution = nn.Conv2d(
            doubling.in_channels, 4 * channels, 2, bias=doubling.bias is not None
        )
        self.convolution.to(doubling.weight)
        with torch.no_grad():
            self.convolution.weight.copy_(_squares(doubling.weight))
            if self.convolution.bias is not None and doubling.bias is not None:
                self.convolution.bias.copy_(doubling.bias.repeat_interleave(4))
        self.requires_grad_(doubling.weight.requires_grad)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features [B, C', 2h, 2w]."""
        return F.pixel_shuffle(self.convolution(F.pad(features, (0, 1, 0, 1))), 2)


def sub_pixel(network: nn.Module) -> nn.Module:
    """`network`, changed in place, with a `SubPixel` for each of its transposed convolutions."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ConvTranspose2d):
            assert _doubles(module), module
            network.set_submodule(name, SubPixel(module))
    return network


def _doubles(module: nn.ConvTranspose2d) -> bool:
    """Whether it is of the only kind that `SubPixel` supports, pix2pixHD's."""
    sizes = (module.kernel_size, module.stride, module.padding, module.output_padding)
    plain = module.dilation == (1, 1) and module.groups == 1
    return plain and sizes == ((3, 3), (2, 2), (1, 1), (1, 1))


def _squares(weight: Tensor) -> Tensor:
    """Weights [C, C', 3, 3] of a transposed convolution to those [4C', C, 2, 2] of a plain one.

    Along either axis, output 2i sees input i through tap 1; output 2i + 1 sees input i through
    tap 2 and input i + 1 through tap 0.
    """
    channels_in, channels_out = weight.shape[:2]
    squares = weight.new_zeros(channels_out, 2, 2, channels_in, 2, 2)
    taps = ((0, 0, 1), (1, 0, 2), (1, 1, 0))  # which output, which input, through which tap
    for row, above, i in taps:
        for column, left, j in taps:
            squares[:, row, column, :, above, left] = weight[:, :, i, j].T
    return squares.view(4 * channels_out, channels_in, 2, 2)
