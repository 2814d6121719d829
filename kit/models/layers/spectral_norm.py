"""Spectral norm by the rule that SPADE was published with, or by torch's later one.

In: a convolution. Out: the same, its weight W divided by u W v, an estimate of its largest singular
value. After Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (ICLR
2018). Both rules improve u and v by one power iteration whenever the weight is read in training.
They differ in its order and in the start, and with them in how far a young weight is divided.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrizations, parametrize

Rule = Literal["published", "torch"]

_EPS = 1e-12


class SpectralNorm(nn.Module):
    """Divides a weight as torch's `spectral_norm` hook does, which SPADE's authors trained with.

    An iteration updates v first, then u, which is W v at unit length: the divisor is |W v|. Both
    start as random directions. torch's parametrisation updates u first and starts with 15
    iterations. The buffers have the names of that one, so that either reads the other's weights.

    Attributes:
        divided: what the weight is read as, where `divide` has computed it ahead.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.divided: Tensor | None = None
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
        return divide([self], [weight])[0] if self.divided is None else self.divided


def divide(norms: Sequence[SpectralNorm], weights: Sequence[Tensor]) -> list[Tensor]:
    """Each weight divided as its norm does, equal bit for bit, in fewer operations.

    A card takes longer to begin one on a short vector than to do it.

    Args:
        norms: all in training, or all in evaluation.
        weights: one for each norm.
    """
    if not norms:
        return []
    with torch.no_grad():
        matrices = [weight.flatten(1) for weight in weights]
        us, vs = [norm._u for norm in norms], [norm._v for norm in norms]
        training = norms[0].training
        if training:
            vs = _normalised(map(torch.mv, (matrix.mT for matrix in matrices), us))
        else:  # a gradient may be asked for after the next iteration
            us, vs = [u.clone() for u in us], [v.clone() for v in vs]
        products = [*map(torch.mv, matrices, vs)]
        if training:
            us = _normalised(products)
            torch._foreach_copy_([norm._v for norm in norms], vs)
            torch._foreach_copy_([norm._u for norm in norms], us)
        sigmas = map(torch.dot, us, products)
    return [_Divide.apply(*each) for each in zip(weights, sigmas, us, vs, strict=True)]  # type: ignore[no-untyped-call]


def _normalised(vectors: Iterable[Tensor]) -> list[Tensor]:
    """`F.normalize` of each."""
    vectors = [*vectors]
    lengths = torch._foreach_norm(vectors)
    return [*torch._foreach_div(vectors, torch._foreach_clamp_min(lengths, _EPS))]


class _Divide(torch.autograd.Function):
    """A weight W [C', C, k, k] over sigma = u W v, with u and v constant.

    The gradient is rounded as autograd's, which keeps W v to multiply by W again.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, sigma: Tensor, u: Tensor, v: Tensor) -> Tensor:
        divided = weight / sigma
        ctx.save_for_backward(divided, sigma, u, v)
        return divided

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        divided, sigma, u, v = ctx.saved_tensors
        slope = -(gradient * (divided / sigma)).sum()
        result = gradient / sigma
        rows, columns = (slope * u).view(-1, 1, 1, 1), v.view(1, *result.shape[1:])
        # In the memory format of the weight.
        return result.add_(torch.mul(rows, columns, out=torch.empty_like(result))), None, None, None


def spectral_norm(module: nn.Module, rule: Rule) -> nn.Module:
    """`module` with a spectral norm on its weight."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if rule == "torch" and not weight.is_meta:  # on which both are shapes of the same names
        return parametrizations.spectral_norm(module)
    # Unsafe is to leave out a check that reads the weight, which would be an iteration.
    parametrize.register_parametrization(module, "weight", SpectralNorm(weight), unsafe=True)
    return module
