"""Scenes -> how many of their pixels a detector calls cloud and shadow: what one worker does.

In: the files of optical scenes, and the detector's version. Out: a table of `SCHEMA` with a row a
scene, in order; a scene that cannot be read has the reason in `problem` and nothing else.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import kit
from kit.screening import ukis
from kit.screening.measure import require_version
from kit.tiles.names import RGB_BANDS
from kit.tiles.neighbors import neighbor
from kit.tiles.netcdf import Plane
from kit.tiles.reader import Reader
from kit.tiles.scenes import Scene

_FIELDS: dict[str, pa.DataType] = {
    "bands": pa.string(),
    "detector_cloud": pa.int64(),
    "detector_shadow": pa.int64(),
    "problem": pa.string(),
}
SCHEMA = pa.schema(_FIELDS)
_NIR, _SWIR = ukis.BANDS[3], ukis.BANDS[4:]
WITHOUT_NIR = ",".join(RGB_BANDS)
"""The bands of a scene whose red stands in for near infrared."""


def seen(scene: Scene) -> Scene:
    """A screened scene with the tiles that the detector sees.

    These are red, green and blue, B8 if it lies beside them, and then B11 and B12 if both do.
    """
    files = [*scene.files[: len(RGB_BANDS)]]
    if (nir := neighbor(files[0], _NIR)) is not None:
        swir = [neighbor(files[0], band) for band in _SWIR]
        files += [nir, *(file for file in swir if file is not None and None not in swir)]
    return Scene(scene.sensor, scene.key, tuple(files))


def look(
    sensor: str,
    files: Sequence[Sequence[str | Plane]],
    detector: str,
    threads: int,
    version: str,
) -> pa.Table:
    """Read scenes, and have the detector look at them.

    Args:
        sensor: "Sentinel2".
        files: of each scene's bands, as `seen` lists them.
        detector: its name and version; a worker with another one refuses.
        threads: that read, and those of the detector.
        version: of the kit that asks; a worker with another one refuses.

    Returns:
        A table of `SCHEMA`, in pixels. `bands` are those that the detector saw.

    Raises:
        InputError: this worker's kit, or its detector, has another version, or there is none.
    """
    require_version("kit", kit.__version__, version)
    require_version("detector", ukis.version(), detector)
    bands: list[str | None] = [None] * len(files)
    counts = np.zeros((2, len(files)), np.int64)
    problems: list[str | None] = [None] * len(files)
    reader = Reader(threads, colors=len(ukis.BANDS))
    for width in sorted({len(scene) for scene in files}):
        chosen = [index for index, scene in enumerate(files) if len(scene) == width]
        for start, batches, errors in reader.read_all(sensor, [files[i] for i in chosen]):
            for batch in batches:
                empty = [_constant_band(scene) for scene in batch.pixels]
                usable = [number for number, band in enumerate(empty) if not band]
                rows = [chosen[start + index] for index in batch.indices]
                counts[:, [rows[n] for n in usable]] = _count(batch.pixels[usable], threads)
                for row, band in zip(rows, empty, strict=True):
                    bands[row] = None if band else ",".join(ukis.BANDS[:width])
                    problems[row] = f"{band} has one value everywhere" if band else None
            for index, error in errors.items():
                problems[chosen[start + index]] = error.brief
    unread = np.array([problem is not None for problem in problems], dtype=bool)
    columns = [
        pa.array(bands, pa.string()),
        *(pa.array(numbers, mask=unread) for numbers in counts),
        pa.array(problems, pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


def _constant_band(scene: NDArray[np.uint16]) -> str:
    """The first of the bands beside red, green and blue that says nothing; "" if there is none."""
    named = zip(ukis.BANDS[len(RGB_BANDS) :], scene[len(RGB_BANDS) :], strict=False)
    return next((name for name, band in named if band.min() == band.max()), "")


def _count(pixels: NDArray[np.uint16], threads: int) -> NDArray[np.int64]:
    """Cloud and shadow pixels, [2, n], of scenes [n, 3, 4 or 6, H, W]."""
    if pixels.shape[1] == len(RGB_BANDS):
        pixels = pixels[:, (0, 1, 2, RGB_BANDS.index("B4"))]
    found = ukis.classes(pixels, threads)
    return np.stack([(found == kind).sum(axis=(1, 2)) for kind in (ukis.CLOUD, ukis.SHADOW)])
