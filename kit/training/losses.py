"""The losses of the paper's variants: masked L1, and the GAN loss each model was published with.

In: images [B, 3, H, W] and a mask, or a discriminator's maps, one per scale. Out: a scalar.
"spade" is the hinge loss, averaged over scales; its discriminator adds those of fakes and reals.
"pix2pixhd" is the least-squares loss, summed over scales; its discriminator averages the two.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kit.variants import Model


def l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error over the pixels where the mask [B, 1, H, W] is 1; 0 if there are none.

    Values of prediction and target [B, C, H, W] elsewhere have no effect, not even NaN.
    """
    valid = mask > 0
    # Masked ahead of abs, whose gradient at NaN would stay NaN after a multiplication by 0.
    difference = (prediction - target).where(valid, 0.0)
    return difference.abs().sum() / (valid.sum() * prediction.shape[1]).clamp(min=1)


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
