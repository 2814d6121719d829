"""`scenes.parquet`: every screened scene, with its ratios of nodata and cloud."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import atomic
from kit.tiles.names import BANDS, SceneKey
from kit.tiles.netcdf import parse_file
from kit.tiles.scenes import Scene

SCENES = "scenes.parquet"
FIELDS: dict[str, pa.DataType] = {
    "sensor": pa.string(),
    "lon": pa.string(),
    "lat": pa.string(),
    "date": pa.date32(),
    "bands": pa.string(),
    "paths": pa.list_(pa.string()),
    "height": pa.int32(),
    "width": pa.int32(),
    "nodata_ratio": pa.float64(),
    "qa60_ratio": pa.float64(),
    "cloud_ratio": pa.float64(),
    "peak": pa.int16(),
}
RATIOS = ["sensor", "nodata_ratio", "qa60_ratio"]  # what `dataset1` looks at


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


def read_screened(path: Path) -> Iterator[Screened]:
    """The rows of `scenes.parquet`, one after the other.

    Raises:
        InputError: there is no such table, or it is damaged.
    """
    for group in row_groups(path, [*FIELDS]):
        for row in group.to_pylist():
            scene = Scene(
                row["sensor"],
                SceneKey(row["lon"], row["lat"], row["date"]),
                tuple(map(parse_file, row["paths"])),
            )
            ratios = (row[f"{name}_ratio"] for name in ("nodata", "qa60", "cloud"))
            yield Screened(scene, row["height"], row["width"], *ratios)


def row_groups(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of `scenes.parquet`, one row group after the other.

    Raises:
        InputError: there is no such table, or it is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns)
    except FileNotFoundError:
        raise InputError(path, "no such table", remedy="run kit screen DATA first") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(path, f"damaged ({error})", remedy="run kit screen DATA again") from None


def write_screened(path: Path, parts: Iterable[Path]) -> None:
    """Write the readable scenes of all parts of `kit.screening.store` as one table, part by part.

    Raises:
        InputError: a part is damaged; it is removed.
        OutputError: the table cannot be written.
    """
    schema = pa.schema(FIELDS)
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for part in parts:
            writer.write_table(_ratios(_read_part(part)).cast(schema))


def dataset1(group: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a group, with `RATIOS` among its columns, Dataset-1 has if paired."""
    optical = np.asarray(group["sensor"]) == "Sentinel2"
    empty, flagged = (np.asarray(group[name]) for name in ("nodata_ratio", "qa60_ratio"))
    result: NDArray[np.bool_] = optical & (empty == 0) & (flagged == 0)
    return result


def _read_part(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        path.unlink(missing_ok=True)
        problem = f"damaged ({' '.join(str(error).split())})"
        raise InputError(
            path, problem, remedy="run the same command again, which measures this part again"
        ) from None


def _ratios(part: pa.Table) -> pa.Table:
    part = part.filter(pc.is_null(part["problem"]))
    sensors = part["sensor"].to_pylist()
    area = np.asarray(part["height"]) * np.asarray(part["width"])
    made = {
        "bands": pa.array([",".join(BANDS[str(sensor)]) for sensor in sensors], pa.string()),
        "peak": pa.array(np.asarray(part["peak"]), mask=np.array(sensors) == "Sentinel1"),
    }
    for name in ("nodata", "qa60", "cloud"):
        made[f"{name}_ratio"] = pa.array(np.asarray(part[name]) / area)
    columns = [made[name] if name in made else part[name] for name in FIELDS]
    return pa.table(columns, names=[*FIELDS])
