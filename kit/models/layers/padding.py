"""Reflection to a size that a network can halve and double, for images of any size.

In: images [B, C, H, W], H and W at least 1. Out: the same, grown to the right and to the bottom, so
that pixel (0, 0) stays where nearest-neighbour resizing picks it.
"""

import torch
from torch import Tensor


def reflect_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Grow `image` [B, C, H, W] by reflection until H and W are multiples of `multiple`.

    At least two multiples, because no network can normalise or reflect a map of one pixel. An image
    that fits already is returned as it is.
    """
    height, width = (max(2, -(-size // multiple)) * multiple for size in image.shape[-2:])
    if (height, width) == image.shape[-2:]:
        return image
    rows = _reflected_indices(image.shape[-2], height, image.device)
    columns = _reflected_indices(image.shape[-1], width, image.device)
    return image[..., rows[:, None], columns]


def _reflected_indices(size: int, wanted: int, device: torch.device) -> Tensor:
    """`wanted` indices into `size` pixels that run to and fro: 0 1 2 1 0 1 for 3 pixels and 6.

    `F.pad` reflects only once, so it refuses a pad that is as long as the image.
    """
    period = max(2 * size - 2, 1)
    forth = torch.arange(wanted, device=device) % period
    return torch.minimum(forth, period - forth)
