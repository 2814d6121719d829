"""Scenes -> ratios: how much of each is nodata, cloud by QA60, and cloud by the heuristic.

In: the scenes of a catalog. Out: the same scenes with their size and ratios. A tile that cannot be
read, or bands that do not fit together, cost that scene alone, which is listed with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.catalog import Rejection, Scene
from kit.clouds import COLUMNS, CloudRule, count
from kit.console import Advance
from kit.errors import InputError
from kit.files import atomic
from kit.tiles import BANDS, read_scene


@dataclass(frozen=True, slots=True)
class Screened:
    """A readable scene with its size in pixels and its ratios, each a share of all pixels.

    A radar scene has no clouds: its two cloud ratios are 0.
    """

    scene: Scene
    height: int
    width: int
    nodata: float
    qa60: float
    cloud: float


def screen(
    scenes: Sequence[Scene], rule: CloudRule, advance: Advance | None = None
) -> tuple[tuple[Screened, ...], tuple[Rejection, ...]]:
    """Read every scene and measure it.

    Args:
        scenes: what to read.
        rule: scale and threshold of the heuristic.
        advance: told (done, total) as the work goes on.

    Returns:
        The scenes that could be read, in order, and the others with their reasons.
    """
    screened: list[Screened] = []
    rejected: list[Rejection] = []
    for done, scene in enumerate(scenes, start=1):
        try:
            pixels = read_scene(scene.sensor, scene.paths)
        except InputError as error:
            rejected.append(Rejection.unreadable(scene, error))
        else:
            screened.append(_measure(scene, pixels, rule))
        if advance:
            advance(done, len(scenes))
    return tuple(screened), tuple(rejected)


def radar_nodata(sar: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a radar scene [2, H, W] in dB holds no measurement, as [H, W].

    That is where a polarisation is NaN, infinite or exactly 0, and everywhere if one is constant.
    """
    missing = ~np.isfinite(sar) | (sar == 0)
    constant = sar.min(axis=(1, 2)) == sar.max(axis=(1, 2))
    result: NDArray[np.bool_] = (missing | constant[:, None, None]).any(axis=0)
    return result


def _measure(scene: Scene, pixels: NDArray[np.generic], rule: CloudRule) -> Screened:
    _, height, width = pixels.shape
    if scene.sensor == "Sentinel1":
        nodata = float(radar_nodata(pixels.astype(np.float32, copy=False)).mean())
        return Screened(scene, height, width, nodata, 0.0, 0.0)
    dn = pixels.astype(np.uint16, copy=False)
    counts = dict(zip(COLUMNS, count(dn[None, :3], dn[None, 3], rule)[0].tolist(), strict=True))
    area = height * width
    ratios = (counts[name] / area for name in ("nodata", "qa60", "cloud"))
    return Screened(scene, height, width, *ratios)


def write_scenes(path: Path, screened: Sequence[Screened]) -> None:
    """Write one row a scene as Parquet: what it is, where its bands are, and its ratios."""
    table = pa.table(
        {
            "sensor": [row.scene.sensor for row in screened],
            "lon": [row.scene.key.lon for row in screened],
            "lat": [row.scene.key.lat for row in screened],
            "date": pa.array([row.scene.key.date for row in screened], pa.date32()),
            "bands": [",".join(BANDS[row.scene.sensor]) for row in screened],
            "paths": pa.array(
                [list(map(str, row.scene.paths)) for row in screened], pa.list_(pa.string())
            ),
            "height": pa.array([row.height for row in screened], pa.int32()),
            "width": pa.array([row.width for row in screened], pa.int32()),
            "nodata_ratio": pa.array([row.nodata for row in screened], pa.float64()),
            "qa60_ratio": pa.array([row.qa60 for row in screened], pa.float64()),
            "cloud_ratio": pa.array([row.cloud for row in screened], pa.float64()),
        }
    )
    with atomic(path) as part:
        pq.write_table(table, part)
