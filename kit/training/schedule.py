"""The learning rate of a step, as a share of the variant's.

"linear" holds it for `epochs` and lets it fall to zero over `decay_epochs`, epoch by epoch, as the
published trainings do. "cosine" lets it rise over the first steps and then follow half a cosine to
zero, step by step (Loshchilov and Hutter, "SGDR", ICLR 2017).
"""

import math

from kit.variants.settings import Variant

_WARM_UP = 0.05  # of all steps


def rate_share(variant: Variant, epoch: int, batch: int, steps_per_epoch: int) -> float:
    """The share of the learning rate, from 0 to 1, for the next step.

    Args:
        variant: its schedule and epochs.
        epoch: how many are done.
        batch: how many steps of this epoch are done.
        steps_per_epoch: how many there are in each.
    """
    if variant.schedule == "linear":
        return 1 - max(0, epoch - variant.epochs) / max(1, variant.decay_epochs)
    step, total = epoch * steps_per_epoch + batch, variant.total_epochs * steps_per_epoch
    warm_up = math.ceil(_WARM_UP * total)
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up + 1) / (total - warm_up + 1))) / 2
