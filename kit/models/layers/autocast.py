"""What must not be rounded to bfloat16, even where everything else is."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_float32(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`layer(x)`, in float32 where autocast would have it run in less.

    Without autocast no trace of this is left in an exported graph.
    """
    device = x.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return layer(x)
    with torch.autocast(device, enabled=False):
        return layer(x.float())
