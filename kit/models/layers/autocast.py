"""Layers that stay in float32 under autocast."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_float32(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`layer(x)`, in float32 even under autocast.

    Without autocast an exported graph is that of `layer` alone.
    """
    device = x.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return layer(x)
    with torch.autocast(device, enabled=False):
        return layer(x.float())
