"""Where a Sentinel-1 scene holds no measurement.

In: sigma nought in dB. Out: a mask, or the number of such pixels, counted by the compiled core
where `kit.screening.counts.backend` finds it, by the mask otherwise.
"""

import numpy as np
from numpy.typing import NDArray

from kit import native
from kit.errors import InputError
from kit.screening import counts


def radar_nodata(sar: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a radar scene [2, H, W] in dB holds no measurement, as [H, W].

    That is where a polarisation is NaN, infinite or exactly 0, and everywhere if one is constant.
    """
    missing = ~np.isfinite(sar) | (sar == 0)
    constant = sar.min(axis=(1, 2)) == sar.max(axis=(1, 2))
    result: NDArray[np.bool_] = (missing | constant[:, None, None]).any(axis=0)
    return result


def count_radar_nodata(
    sar: NDArray[np.float32], *, threads: int | None = None, backend: str | None = None
) -> NDArray[np.int64]:
    """How many pixels of N radar scenes `radar_nodata` finds.

    Args:
        sar: [N, 2, H, W] in dB.
        threads: of the compiled core; all cores if None.
        backend: "native" or "reference"; as `kit.screening.counts.backend` says when None.

    Returns:
        [N].

    Raises:
        InputError: a wrong pixel type or shape, or an unknown or missing backend.
    """
    if sar.dtype != np.float32 or sar.ndim != 4 or sar.shape[1] != 2 or 0 in sar.shape[1:]:
        raise InputError("sar", f"is {sar.dtype} {sar.shape}", "it must be float32 [N, 2, H, W]")
    library = counts.on_processor(backend)
    if library is None:
        return np.array([np.count_nonzero(radar_nodata(scene)) for scene in sar], np.int64)
    sar = np.require(sar, requirements=("C", "A"))
    nodata = np.empty(len(sar), np.int64)
    pixels = sar.shape[2] * sar.shape[3]
    library.kit_radar_nodata(
        sar.ctypes.data, len(sar), pixels, threads or native.cores(), nodata.ctypes.data
    )
    return nodata
