"""dB and DN -> what a network sees and what a score compares, and images as integers.

In: pixels as they are in tiles. Out: numbers in [0, 1], and where a radar scene holds no
measurement; the [-1, 1] of networks; uint16. The formulas are here and nowhere else; the ranges
travel with the weights.
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

VV_RANGE = (-25.0, 0.0)
VH_RANGE = (-32.5, 0.0)
DN_RANGE = (0.0, 3000.0)
# No radar measures less: below are fills such as -99, -9999, -32768 and the lowest float.
BACKSCATTER_FLOOR = -90.0
SCALING = {"vv_db": list(VV_RANGE), "vh_db": list(VH_RANGE), "dn": list(DN_RANGE)}
UINT16_MAX = 65535  # is 1 where an image in [0, 1] is stored as uint16

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", NDArray[np.float32], "torch.Tensor")


def radar_nodata(sar: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a radar scene [2, H, W] in dB holds no measurement, as [H, W].

    That is where `unmeasured` says so, and everywhere if a polarisation is constant.
    """
    constant = (sar.min(axis=(1, 2)) == sar.max(axis=(1, 2))).any()
    return np.ones(sar.shape[1:], np.bool_) if constant else unmeasured(sar)


def unmeasured(sar: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pixels [H, W] of a radar scene [2, H, W] in dB, or of a crop, hold no measurement.

    Those where a polarisation is NaN, infinite, exactly 0 or below `BACKSCATTER_FLOOR`.
    """
    missing = ~np.isfinite(sar) | (sar == 0) | (sar < BACKSCATTER_FLOOR)
    result: NDArray[np.bool_] = missing.any(axis=0)
    return result


def scale_radar(
    sar: NDArray[np.floating], nodata: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """dB [2, H, W] (VV, VH) -> [0, 1] over `VV_RANGE` and `VH_RANGE`; nodata becomes 0.

    Args:
        sar: a scene; or a crop of one, if `nodata` is given.
        nodata: what `radar_nodata` found there, [H, W], or [1, 1] where all pixels are alike.
    """
    if nodata is None:
        nodata = radar_nodata(np.asarray(sar, dtype=np.float32))
    low, high = np.array([VV_RANGE, VH_RANGE], dtype=np.float32).T[..., None, None]
    scaled = sar - low
    scaled /= high - low
    np.clip(scaled, 0, 1, out=scaled)
    if nodata.any():
        scaled[:, np.broadcast_to(nodata, sar.shape[1:])] = 0
    result: NDArray[np.float32] = scaled.astype(np.float32, copy=False)
    return result


def scale_optical(
    dn: NDArray[np.uint16], target: str, extremes: NDArray[np.uint16] | None = None
) -> NDArray[np.float32]:
    """DN [3, H, W] -> [0, 1]: over `DN_RANGE` for "reflectance", by own extremes for "minmax".

    Args:
        dn: an image; or a crop of one, if `extremes` are given.
        target: the space that is learnt, "reflectance" or "minmax".
        extremes: least and largest DN of each channel of the image, [2, 3].
    """
    if target == "minmax":
        return stretch(dn, extremes).astype(np.float32)
    scaled = dn.astype(np.float32)
    scaled -= DN_RANGE[0]
    scaled /= DN_RANGE[1] - DN_RANGE[0]
    np.clip(scaled, 0, 1, out=scaled)
    return scaled


def stretch(
    image: NDArray[np.generic], extremes: NDArray[np.generic] | None = None
) -> NDArray[np.float64]:
    """Each channel of [3, H, W] between its own extremes; a constant channel becomes zero.

    float32 is stretched in float32, as the server does, and everything else in float64.

    Args:
        image: an image; or a crop of one, if `extremes` are given.
        extremes: least and largest value of each channel of the image, [2, 3]; its own if None.
    """
    kind = np.float32 if image.dtype == np.float32 else np.float64
    values: NDArray[np.floating] = image.astype(kind)
    if extremes is None:
        extremes = np.stack([values.min(axis=(1, 2)), values.max(axis=(1, 2))])
    low, high = extremes.astype(kind)[..., None, None]
    values -= low
    values /= np.where(high == low, kind(1), high - low)
    return values.astype(np.float64, copy=False)


def to_signed(image: Array) -> Array:
    """[0, 1] -> [-1, 1], what generators and discriminators see; an array or a tensor."""
    return image * 2 - 1


def from_signed(image: Array) -> Array:
    """[-1, 1] -> [0, 1], clipped: what is scored and stored; an array or a tensor."""
    return ((image + 1) / 2).clip(0, 1)


def quantize(image: NDArray[np.generic]) -> NDArray[np.uint16]:
    """[0, 1] -> uint16, rounded to the nearest of `UINT16_MAX` + 1 levels."""
    levels: NDArray[np.uint16] = np.rint(np.multiply(image, UINT16_MAX)).astype(np.uint16)
    return levels
