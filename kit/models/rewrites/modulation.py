"""SPADE's norms in prediction: one multiplication and one addition a pixel.

In: a norm of `kit.models.spade`, and the convolution of single pixels that follows it in a learnt
shortcut. Out: one module that computes the same of features and the SAR.
"""

import torch
from torch import Tensor, nn

from kit.models.spade import Spade


class Modulation(nn.Module):
    """A `Spade`, and the convolution of the shortcut behind it if there is one.

    A batch norm's mean and deviation are part of the convolutions that give what features are
    multiplied by, and what is added; an instance norm, whose statistics are those of the image,
    stays. What is added in a shortcut is given as the shortcut would make it, of half as many
    channels.
    """

    def __init__(self, spade: Spade, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.shared = spade.mlp_shared
        norm = spade.param_free_norm
        self.norm: nn.Module = nn.Identity()
        gamma, beta = spade.mlp_gamma, spade.mlp_beta
        channels = gamma.out_channels
        # In float64, so that there is one rounding, the last.
        scale, mean = torch.ones(channels).double(), torch.zeros(channels).double()
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            scale = (norm.running_var.double() + norm.eps).rsqrt()
            mean = norm.running_mean.double()
        else:
            self.norm = norm
        assert gamma.bias is not None and beta.bias is not None
        wide = (-1, 1, 1, 1)
        factor = gamma.weight.double() * scale.view(wide)
        one = (1 + gamma.bias.double()) * scale
        summand = beta.weight.double() - mean.view(wide) * factor
        bias = beta.bias.double() - mean * one
        self.projection: nn.Module = nn.Identity()
        if shortcut is not None:
            assert isinstance(shortcut, nn.Conv2d) and shortcut.bias is None
            self.projection = shortcut
            matrix = shortcut.weight.double().flatten(1)
            summand, bias = torch.einsum("oc,cihw->oihw", matrix, summand), matrix @ bias
        # Compilers fuse these with what multiplies and adds; the halves of one they would copy.
        self.factor = _convolution(factor, one, gamma.weight.dtype)
        self.summand = _convolution(summand, bias, gamma.weight.dtype)

    def forward(self, features: Tensor, sar: Tensor) -> Tensor:
        """Features [B, C, h, w] and inputs [B, C', h, w] to features [B, D, h, w].

        D is C, or what the shortcut makes of it.
        """
        hidden = self.shared(sar)
        scaled = self.projection(self.norm(features) * self.factor(hidden))
        modulated: Tensor = scaled + self.summand(hidden)
        return modulated


@torch.no_grad()
def _convolution(weight: Tensor, bias: Tensor, kind: torch.dtype) -> nn.Conv2d:
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=kind)
    convolution.weight.copy_(weight)
    assert convolution.bias is not None
    convolution.bias.copy_(bias)
    return convolution
