"""What the values of scenes are like: counts that tell a wrong unit, an offset, or a fill.

In: pixels as tiles hold them. Out: a row of integers a scene, named by `VALUES`, the same from the
compiled core as from numpy. What follows from them is said by `kit.tiles.units`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.machine import native
from kit.scaling import BACKSCATTER_FLOOR, DN_RANGE, VH_RANGE, VV_RANGE

VALUES = ("values", "low", "high", "strong", "far", "dark", "brightest")
STRONG = -3.0  # dB; only cities and steep slopes send back more
DARK = 1000  # DN; what the offset of Sentinel-2's processing baseline 04.00 adds
_LOW = (VV_RANGE[0], VH_RANGE[0])
_HIGH = round(DN_RANGE[1])


def count_values(
    sensor: str, scenes: NDArray[np.generic], *, threads: int = 1, backend: str | None = None
) -> NDArray[np.int64]:
    """Count what the values of N scenes are like.

    Of radar, over both polarisations: `values` are those that are measurements, `low` and `high`
    those of them below and above the range that networks see, `strong` those above `STRONG`; `far`
    are the finite values below any backscatter, but for the least one of each polarisation, which
    may be a fill. Of optical scenes: `values` are those of pixels with data, `high` those above the
    range; `dark` are pixels with data and a band below `DARK`; `brightest` is the largest DN. The
    rest is 0.

    Args:
        sensor: "Sentinel1", for float32 dB, or "Sentinel2", for uint16 DN.
        scenes: [N, 2, H, W]; or [N, 3, H, W], bands beyond the third being passed over.
        threads: of the compiled core.
        backend: "native" or "reference"; the core, where there is one, when None.

    Returns:
        [N, 7], the columns in the order of `VALUES`.
    """
    rows = np.zeros((len(scenes), len(VALUES)), np.int64)
    core = native.load("kit_core")[0] if backend != "reference" else None
    if core is None:
        count = _count_radar if sensor == "Sentinel1" else _count_optical
        for row, scene in zip(rows, scenes, strict=True):
            found = count(scene)
            row[:] = [found.get(name, 0) for name in VALUES]
        return rows
    limits = native.LimitsStruct(BACKSCATTER_FLOOR, _LOW, STRONG, _HIGH, DARK)
    scenes = np.require(scenes, requirements=("C", "A"))
    n, bands, height, width = scenes.shape
    pixels = height * width
    if sensor == "Sentinel1":
        core.kit_radar_values(scenes.ctypes.data, n, pixels, threads, limits, rows.ctypes.data)
    else:
        stride = bands * pixels
        core.kit_optical_values(
            scenes.ctypes.data, n, stride, pixels, threads, limits, rows.ctypes.data
        )
    return rows


def _count_radar(scene: NDArray[Any]) -> dict[str, int]:
    finite = np.isfinite(scene)
    measured = finite & (scene != 0) & (scene >= BACKSCATTER_FLOOR)
    far = finite & (scene < BACKSCATTER_FLOOR)
    least = np.where(finite, scene, 0).min(axis=(1, 2), keepdims=True)
    low = np.array(_LOW, np.float32)[:, None, None]
    masks = {
        "values": measured,
        "low": measured & (scene < low),
        "high": measured & (scene > 0),
        "strong": measured & (scene > STRONG),
        "far": far & (scene != least),
    }
    return {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}


def _count_optical(scene: NDArray[Any]) -> dict[str, int]:
    rgb = scene[:3]
    lit = rgb.any(axis=0)
    return {
        "values": 3 * int(np.count_nonzero(lit)),
        "high": int(np.count_nonzero(rgb > _HIGH)),
        "dark": int(np.count_nonzero(lit & (rgb.min(axis=0) < DARK))),
        "brightest": int(rgb.max()),
    }
