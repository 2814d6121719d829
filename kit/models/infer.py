"""Radar arrays -> RGB arrays through a generator.

In: radar [N, 2, H, W] in [0, 1]. Out: RGB [N, 3, H, W] in [0, 1].
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kit.device import pick, place
from kit.scaling import from_signed, to_signed

Forward = Callable[[Tensor], Tensor]
"""SAR [batch, 2, H, W] in [-1, 1] to RGB [batch, 3, H, W] in [-1, 1], both float32 on the CPU."""


def infer(generator: nn.Module, radar: NDArray[np.float32]) -> NDArray[np.float32]:
    """RGB [N, 3, H, W] in [0, 1] of radar [N, 2, H, W] in [0, 1], in evaluation mode."""
    return infer_batches(partial(forward, generator.eval()), radar)


def infer_batches(
    network: Forward, radar: NDArray[np.float32], batch: int = 0
) -> NDArray[np.float32]:
    """RGB [N, 3, H, W] in [0, 1] of radar [N, 2, H, W] in [0, 1], in calls of one size.

    Args:
        network: called with `batch` tiles at a time; the last batch is padded.
        radar: at least one tile.
        batch: tiles in a call; 0 for all of them in one.
    """
    batch = batch or len(radar)
    # The last digits of a convolution depend on the size of its batch: with full batches alone the
    # images do not depend on how the tiles were divided.
    full = np.resize(np.arange(len(radar)), -(-len(radar) // batch) * batch)
    sar = to_signed(torch.from_numpy(radar[full]))
    rgb = torch.cat([network(sar[at : at + batch]) for at in range(0, len(sar), batch)])
    unit: NDArray[np.float32] = from_signed(rgb[: len(radar)]).numpy()
    return unit


@torch.inference_mode()
def forward(network: nn.Module, sar: Tensor, half: bool = False) -> Tensor:
    """SAR [N, 2, H, W] to RGB [N, 3, H, W], float32 on the CPU, through a network on the device."""
    with torch.autocast(pick().type, torch.bfloat16, enabled=half):
        rgb: Tensor = network(place(sar))
    return rgb.float().cpu()
