"""Smooth activations in place of ReLU, for comparisons of gradients that need float32.

Rounding can carry an activation over the kink of a ReLU, and one of half a million changes a
gradient by a thousandth to a fiftieth. Which one it is differs from processor to processor.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def remove_kinks(patch: Callable[[object, str, object], None] = setattr) -> None:
    """Let every ReLU and leaky ReLU of this process be its smooth relative, by softplus."""
    patch(F, "relu", lambda x, inplace=False: F.softplus(x))
    patch(F, "leaky_relu", _leaky)


def _leaky(x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    return negative_slope * x + (1 - negative_slope) * F.softplus(x)
