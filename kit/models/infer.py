"""Inputs -> RGB through a generator, on its device.

In: inputs [N, C, H, W] in [0, 1]. Out: RGB [N, 3, H, W] in [0, 1].
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kit.machine.device import pick, place
from kit.machine.spinning import SPINNING
from kit.scaling import from_signed, to_signed

Forward = Callable[[Tensor], Tensor]
"""Inputs [batch, C, H, W] to RGB [batch, 3, H, W], both in [-1, 1] and float32.

The inputs may be on any device, and the RGB is where it was computed."""


def infer(generator: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """RGB [N, 3, H, W] in [0, 1] of inputs [N, C, H, W] in [0, 1], in evaluation mode."""
    return infer_batches(partial(forward, generator.eval()), inputs)


def infer_batches(
    network: Forward, inputs: NDArray[np.float32], batch: int = 0
) -> NDArray[np.float32]:
    """RGB [N, 3, H, W] in [0, 1] of inputs [N, C, H, W] in [0, 1], in calls of one size.

    Args:
        network: called with `batch` tiles at a time; the last batch is padded.
        inputs: at least one tile.
        batch: tiles in a call; 0 for all of them in one.
    """
    rgb = infer_tiles(network, to_signed(torch.from_numpy(inputs)), batch)
    unit: NDArray[np.float32] = from_signed(rgb).cpu().numpy()
    return unit


def infer_tiles(network: Forward, signed: Tensor, batch: int = 0) -> Tensor:
    """`infer_batches` of tensors, both in [-1, 1]; the RGB stays on the network's device."""
    batch = batch or len(signed)
    # The last digits of a convolution depend on the size of its batch: with full batches alone the
    # images do not depend on how the tiles were divided.
    count = len(signed)
    if missing := -count % batch:
        signed = signed[torch.arange(count + missing, device=signed.device) % count]
    with SPINNING.watch():
        parts = [network(signed[at : at + batch]) for at in range(0, len(signed), batch)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[:count]


@torch.inference_mode()
def forward(network: nn.Module, inputs: Tensor, half: bool = False) -> Tensor:
    """Inputs [N, C, H, W] to RGB [N, 3, H, W] on the device, through a network there."""
    with torch.autocast(pick().type, torch.bfloat16, enabled=half):
        rgb: Tensor = network(place(inputs))
    return rgb.float()
