"""Reflection to a size that a network can halve and double, for images of any size.

In: images [B, C, H, W], H and W at least 1. Out: the same, padded right and at the bottom, so that
pixel (0, 0) stays where nearest-neighbour resizing picks it.
"""

import torch
from torch import Tensor


def reflect_to_multiple(image: Tensor, multiple: int, least: int) -> Tensor:
    """Pad `image` [B, C, H, W] by reflection until H and W are multiples of `multiple`.

    They are at least `least` multiples. An image of such a size is returned unchanged.
    """
    height, width = (max(least, -(-size // multiple)) * multiple for size in image.shape[-2:])
    if (height, width) == image.shape[-2:]:
        return image
    rows = _reflected_indices(image.shape[-2], height, image.device)
    columns = _reflected_indices(image.shape[-1], width, image.device)
    return image[..., rows[:, None], columns]


def _reflected_indices(size: int, wanted: int, device: torch.device) -> Tensor:
    """`wanted` indices into `size` pixels, reflected at both ends: 0 1 2 1 0 1 for 6 into 3.

    `F.pad` reflects only once, so it refuses a pad as long as the image.
    """
    period = max(2 * size - 2, 1)
    forth = torch.arange(wanted, device=device) % period
    return torch.minimum(forth, period - forth)
