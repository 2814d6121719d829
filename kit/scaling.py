"""dB and DN -> what a network sees.

In: pixels as they are in tiles. Out: numbers in [0, 1]. The formulas are here and nowhere else; the
ranges travel with the weights.
"""

import numpy as np
from numpy.typing import NDArray

from kit.metrics import stretch
from kit.screening.nodata import radar_nodata

VV_RANGE = (-25.0, 0.0)
VH_RANGE = (-32.5, 0.0)
DN_RANGE = (0.0, 3000.0)
SCALING = {"vv_db": list(VV_RANGE), "vh_db": list(VH_RANGE), "dn": list(DN_RANGE)}


def scale_radar(
    sar: NDArray[np.floating], nodata: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """dB [2, H, W] (VV, VH) -> [0, 1] over `VV_RANGE` and `VH_RANGE`; nodata becomes 0.

    Args:
        sar: a scene; or a part of one, if `nodata` is given.
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
        dn: a picture; or a part of one, if `extremes` are given.
        target: the space that is learnt.
        extremes: least and largest DN of each channel of the picture, [2, 3].
    """
    if target == "minmax":
        return stretch(dn, extremes).astype(np.float32)
    scaled = dn.astype(np.float32)
    scaled -= DN_RANGE[0]
    scaled /= DN_RANGE[1] - DN_RANGE[0]
    np.clip(scaled, 0, 1, out=scaled)
    return scaled
