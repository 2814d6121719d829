"""Windows -> strips -> rows of the raster, each blended by the weights of its axis.

In: the radar of a scene, and what makes images of windows. Out: strips of levels, uint16 over 65535
for images in [0, 1], in which 0 stands for nodata alone; and the rows that strips make. Memory
holds the strips that overlap, whatever the height of the scene.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from kit.scaling import UINT16_MAX, radar_nodata
from kit.translation.radar_raster import RadarRaster
from kit.translation.strips import Strips
from kit.translation.windows import Windows

Predict = Callable[[NDArray[np.float32]], NDArray[np.uint16]]
"""Windows [N, 2, H, W] in dB to images [N, 3, H, W]."""
_ROWS = 256  # that are blended at a time


def make_strip(
    radar: RadarRaster,
    row: int,
    rows: int,
    columns: Windows,
    predict: Predict,
    batch: int,
    advance: Callable[[int], object],
) -> NDArray[np.uint16]:
    """One row of windows as a strip of levels [3, rows, width].

    Args:
        radar: the scene.
        row: the first of the strip's rows.
        rows: how many it has.
        columns: its windows.
        predict: is called with at most `batch` windows.
        batch: a multiple of what engines take at a time.
        advance: called with the number of windows that are done.

    Raises:
        InputError: the scene cannot be read.
    """
    sar = radar.read(row, rows)
    missing = radar_nodata(sar)
    blended = np.zeros((3, rows, radar.width), np.float32)
    each = [*zip(columns.starts, columns.weights, strict=True)]
    for first in range(0, len(each), batch):
        some = each[first : first + batch]
        # Nothing is seen in a window without data.
        seen = [(at, w) for at, w in some if not missing[:, at : at + columns.size].all()]
        if seen:
            windows = np.stack([sar[:, :, at : at + columns.size] for at, _ in seen])
            for (at, weight), image in zip(seen, predict(windows), strict=True):
                blended[:, :, at : at + columns.size] += weight * image
        advance(first + len(some))
    strip = np.rint(blended).clip(1, UINT16_MAX).astype(np.uint16)
    strip[:, missing] = 0
    return strip


def blend_strips(strips: Strips, rows: Windows) -> Iterator[NDArray[np.uint16]]:
    """The rows of the raster from top to bottom, some at a time, as levels [3, rows, width].

    Raises:
        InputError: a strip is damaged.
    """
    for top in range(0, rows.length, _ROWS):
        bottom = min(top + _ROWS, rows.length)
        total: NDArray[np.float32] | None = None
        empty: NDArray[np.bool_] | None = None
        for number, (start, weights) in enumerate(zip(rows.starts, rows.weights, strict=True)):
            low, high = max(top, start), min(bottom, start + rows.size)
            if low >= high:
                continue
            part = np.asarray(strips.read(number)[:, low - start : high - start])
            if total is None or empty is None:
                total = np.zeros((3, bottom - top, part.shape[2]), np.float32)
                empty = np.zeros(total.shape[1:], np.bool_)
            total[:, low - top : high - top] += weights[low - start : high - start, None] * part
            empty[low - top : high - top] |= (part == 0).all(axis=0)
        assert total is not None and empty is not None
        made = np.rint(total).clip(1, UINT16_MAX).astype(np.uint16)
        made[:, empty] = 0
        yield made
