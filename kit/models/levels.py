"""Images -> the levels of uint16, where the images are: half the bytes to bring back.

In: images, float32. Out: what `kit.scaling.quantize` makes of them, to the last bit, and whether
all are finite. On a processor the compiled core does it in one pass and one thread: shared out
among threads, so little work waits for whichever of them has no core.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.machine import native
from kit.scaling import UINT16_MAX, from_signed, quantize


def to_levels(images: Tensor) -> tuple[Tensor, Tensor]:
    """The levels of images in [0, 1], and whether none is NaN; nothing waits for either.

    A value between two levels becomes the nearest, the even one where both are as near.
    """
    return (images * UINT16_MAX).round_().to(torch.uint16), images.sum().isfinite()


def levels_on_processor(
    images: NDArray[np.float32], *, signed: bool, backend: str | None = None
) -> NDArray[np.uint16] | None:
    """The levels of images, or None where one is NaN.

    Args:
        images: of any shape.
        signed: they are in [-1, 1] and are clipped to it, else in [0, 1].
        backend: "native" or "reference"; the core, where there is one, when None.
    """
    core = native.load("kit_core")[0] if backend != "reference" else None
    if core is None:
        unit = from_signed(images) if signed else images
        return quantize(unit) if np.isfinite(unit.sum()) else None
    images = np.ascontiguousarray(images)
    levels = np.empty(images.shape, np.uint16)
    to_unit = (1, 0.5) if signed else (0, 1)
    finite = core.kit_levels(images.ctypes.data, images.size, *to_unit, levels.ctypes.data)
    return levels if finite else None
