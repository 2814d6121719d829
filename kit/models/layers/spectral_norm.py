"""Spectral norm by the rule that SPADE was published with, or by torch's later one.

In: a convolution. Out: the same, its weight W divided by u W v, an estimate of its largest singular
value. After Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (ICLR
2018). Both rules improve u and v by one power iteration whenever the weight is read in training.
They differ in its order and in the start, and with them in how far a young weight is divided.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

Rule = Literal["published", "torch"]

_EPS = 1e-12


class SpectralNorm(nn.Module):
    """Divides a weight as torch's `spectral_norm` hook does, which SPADE's authors trained with.

    An iteration updates v first, then u, which is W v at unit length: the divisor is |W v|. Both
    start as random directions. torch's parametrisation updates u first and starts with 15
    iterations. The buffers have the names of that one, so that either reads the other's weights.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        for name, size in zip(("_u", "_v"), weight.flatten(1).shape, strict=True):
            direction = weight.new_empty(size)
            if not weight.is_meta:  # on which torch takes milliseconds for each of these
                direction = F.normalize(direction.normal_(), dim=0, eps=_EPS)
            self.register_buffer(name, direction)

    # Compiled by torch 2.13's inductor the gradient was wrong, by an eighth of its largest value.
    # As `torch.compiler.disable`, which would load the compiler with this module: a second or two.
    @torch._disable_dynamo  # type: ignore[attr-defined]
    def forward(self, weight: Tensor) -> Tensor:
        """A weight [C', C, k, k] to the divided one; in training u and v are updated first."""
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix)
        # Copies, because a gradient may be asked for after the next iteration.
        u, v = self._u.clone(), self._v.clone()
        return weight / torch.dot(u, torch.mv(matrix, v))

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self._v.copy_(F.normalize(torch.mv(matrix.mT, self._u), dim=0, eps=_EPS))
        self._u.copy_(F.normalize(torch.mv(matrix, self._v), dim=0, eps=_EPS))


def spectral_norm(module: nn.Module, rule: Rule) -> nn.Module:
    """`module` with a spectral norm on its weight."""
    if rule == "torch":
        return parametrizations.spectral_norm(module)
    weight = module.weight
    assert isinstance(weight, Tensor)
    # Unsafe is to leave out a check that reads the weight, which would be an iteration.
    parametrize.register_parametrization(module, "weight", SpectralNorm(weight), unsafe=True)
    return module
