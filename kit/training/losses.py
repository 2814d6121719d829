"""The losses of a variant: one over pixels, and the GAN loss each model was published with.

In: images [B, 3, H, W] and a mask, or a discriminator's maps, one per scale. Out: a scalar.
"spade" is the hinge loss, averaged over scales; its discriminator adds those of fakes and reals.
"pix2pixhd" is the least-squares loss, summed over scales; its discriminator averages the two.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.variants.settings import Model, PixelLoss


def pixel_loss(prediction: Tensor, target: Tensor, mask: Tensor, kind: PixelLoss = "l1") -> Tensor:
    """The mean loss over the pixels where the mask [B, 1, H, W] is 1; 0 if there are none.

    Of a difference d "l1" is |d|, "mse" d**2, and "charbonnier" sqrt(d**2 + e**2) - e with an e of
    0.001: L1 with a gradient that does not jump (Charbonnier et al., "Two deterministic
    half-quadratic regularization algorithms for computed imaging", ICIP 1994). All three are 0
    where d is. Values of prediction and target [B, C, H, W] elsewhere have no effect, not even NaN.
    """
    valid = mask > 0
    # Masked ahead of abs, whose gradient at NaN would stay NaN after a multiplication by 0.
    difference = (prediction - target).where(valid, 0.0)
    total = _PIXEL_LOSSES[kind](difference).sum()
    return total / (valid.sum() * prediction.shape[1]).clamp(min=1)


def _charbonnier(difference: Tensor) -> Tensor:
    return (difference.square() + _ROUNDED**2).sqrt() - _ROUNDED


_ROUNDED = 1e-3
_PIXEL_LOSSES: dict[PixelLoss, Callable[[Tensor], Tensor]] = {
    "l1": torch.abs,
    "charbonnier": _charbonnier,
    "mse": torch.square,
}


def generator_loss(kind: Model, fake: Sequence[Tensor]) -> Tensor:
    """The GAN loss of a generator whose images the discriminator gave the maps `fake`."""
    if kind == "spade":
        return torch.stack([-scale.mean() for scale in fake]).mean()
    return torch.stack([(scale - 1).square().mean() for scale in fake]).sum()


def discriminator_loss(kind: Model, fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """The loss of a discriminator that gave fakes and reals the maps `fake` and `real`."""
    if kind == "spade":
        fake_losses = [F.relu(1 + scale).mean() for scale in fake]
        real_losses = [F.relu(1 - scale).mean() for scale in real]
        return torch.stack(fake_losses).mean() + torch.stack(real_losses).mean()
    fake_losses = [scale.square().mean() for scale in fake]
    real_losses = [(scale - 1).square().mean() for scale in real]
    return (torch.stack(fake_losses).sum() + torch.stack(real_losses).sum()) / 2
