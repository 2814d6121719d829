"""Gradients that are far longer than usual, shortened without waiting for the device.

In: the gradients of a network, their norm, and the running mean of the norms before. Out: the
gradients, shortened if need be, and the mean with this one. All of it is computed where they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# A norm is compared with the running mean of those before it, once it is of so many.
_NEEDS = 20
_DECAY = 0.99


class Clipped(NamedTuple):
    """What came of it, in float64: the mean and its count [2], and the spike [].

    A spike is the norm of gradients that were shortened, in multiples of the mean; else 0.
    """

    usual: Tensor
    spike: Tensor


@torch.no_grad()
def clip(
    gradients: Sequence[Tensor], norm: Tensor, length: Tensor, usual: Tensor, factor: float
) -> Clipped:
    """Shorten gradients longer than `factor` times the mean to that; 0 never does.

    Args:
        gradients: of one network, on this rank.
        norm: their norm [].
        length: the mean of the norms over the ranks [], float64.
        usual: the running mean of earlier lengths, and of how many it is, [2] in float64.
        factor: see `Variant.clip`.
    """
    mean, seen = usual
    longest = factor * mean
    spiked = (seen >= _NEEDS) & (longest > 0) & (longest < length)
    # As torch's clip_grads_with_norm_ rounds it.
    share = ((norm + 1e-6).reciprocal() * longest.to(norm.dtype)).clamp(max=1).where(spiked, 1.0)
    # On a card asking takes longer than multiplying by 1.
    if spiked.is_cuda or spiked:
        torch._foreach_mul_([*gradients], share)
    spike = (length / mean).where(spiked, 0.0)
    length = longest.where(spiked, length)
    decay = (seen / (seen + 1)).clamp(max=_DECAY)
    return Clipped(torch.stack([decay * mean + (1 - decay) * length, seen + 1]), spike)
