"""The tiles of many scenes -> their pixel counts: what one thread pool, or one worker, does.

In: the files of scenes of one sensor, and a cloud rule. Out: a table of `SCHEMA` with a row a
scene, in order; a scene that cannot be read has the reason in `problem` and nothing else.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import kit
from kit.errors import InputError
from kit.screening.counts import COLUMNS, count_radar_nodata, count_with_peaks
from kit.screening.rule import NO_PEAK, CloudRule
from kit.tiles.bands import scene_grid, unit_of_floats
from kit.tiles.netcdf import Plane
from kit.tiles.reader import Batch, Reader
from kit.tiles.values import VALUES, count_values

_INTEGERS = ("height", "width", *COLUMNS, "peak", *VALUES)
_FIELDS: dict[str, pa.DataType] = dict.fromkeys(_INTEGERS, pa.int64())
_TEXTS = ("grid", "floats", "problem")
SCHEMA = pa.schema(_FIELDS | dict.fromkeys(_TEXTS, pa.string()) | {"float16": pa.bool_()})
_VALID, _NODATA, _PEAK = (_INTEGERS.index(name) for name in ("valid", "nodata", "peak"))


def measure(
    sensor: str,
    files: Sequence[Sequence[str | Plane]],
    rule: CloudRule,
    threads: int,
    version: str,
) -> pa.Table:
    """Read and count scenes.

    Args:
        sensor: "Sentinel1" or "Sentinel2".
        files: of each scene's bands, in the order of `kit.tiles.names.BANDS`.
        rule: the cloud rule.
        threads: that read and count.
        version: of the kit that asks; a worker with another one refuses.

    Returns:
        A table of `SCHEMA`, pixels in its first columns. `peak` is that of
        `kit.screening.counts.count_with_peaks`; after it come the counts of `kit.tiles.values`;
        `grid`, where the scene says that it lies; `floats`, the unit that an optical scene of
        floats is taken for; and `float16`, whether these have 16 bits. A radar scene has no clouds:
        these are 0, and `peak` is `NO_PEAK`.

    Raises:
        InputError: this worker's kit has another version.
    """
    require_version("kit", kit.__version__, version)
    values = np.zeros((len(files), len(_INTEGERS)), np.int64)
    problems: list[str | None] = [None] * len(files)
    grids: list[str | None] = [None] * len(files)
    floats: list[str | None] = [None] * len(files)
    float16 = np.zeros(len(files), bool)
    reader = Reader(threads)
    for start, batches, errors in reader.read_all(sensor, files):
        for batch in batches:
            rows = np.array(batch.indices) + start
            values[rows] = _count(sensor, batch, rule, threads)
            float16[rows] = batch.float16
            for index in np.array(batch.indices)[np.array(batch.placed)].tolist():
                scene = files[start + index]
                try:
                    grid = scene_grid(scene)
                    unit = None if batch.core or sensor != "Sentinel2" else unit_of_floats(scene)
                except InputError as failed:  # replaced since its pixels were read
                    errors[index] = failed
                else:
                    grids[start + index] = str(grid) if grid else None
                    floats[start + index] = unit
        for index, error in errors.items():
            problems[start + index] = error.brief
    unread = np.array([problem is not None for problem in problems], dtype=bool)
    columns = [pa.array(values[:, i], mask=unread) for i in range(len(_INTEGERS))]
    texts = [pa.array(column, pa.string()) for column in (grids, floats, problems)]
    return pa.table([*columns, *texts, pa.array(float16, mask=unread)], schema=SCHEMA)


def require_version(what: str, here: str, there: str) -> None:
    """Refuse to work for a process that has another version of something.

    Raises:
        InputError: this worker has another one.
    """
    if here != there:
        problem = f"a worker has version {here}, and this process {there}"
        raise InputError(what, problem, remedy="install the same version everywhere")


def _count(sensor: str, batch: Batch, rule: CloudRule, threads: int) -> NDArray[np.int64]:
    """Rows of `_INTEGERS` for the scenes of a batch."""
    pixels = batch.pixels
    n, _, height, width = pixels.shape
    rows = np.zeros((n, len(_INTEGERS)), np.int64)
    rows[:, 0], rows[:, 1] = height, width
    rows[:, _PEAK + 1 :] = count_values(sensor, pixels, threads=threads)
    if sensor == "Sentinel1":
        rows[:, _NODATA] = count_radar_nodata(pixels, threads=threads)
        rows[:, _VALID] = height * width - rows[:, _NODATA]
        rows[:, _PEAK] = NO_PEAK
        return rows
    rgb, qa60 = pixels[:, :3], pixels[:, 3]
    rows[:, 2:_PEAK], rows[:, _PEAK] = count_with_peaks(rgb, qa60, rule, threads=threads)
    return rows
