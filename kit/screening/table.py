"""`scenes.parquet`: every screened scene, with its ratios of nodata and cloud."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.ground import Place
from kit.storage.seal import open_table, table_writer, to_rows
from kit.tiles.names import BANDS, SceneKey
from kit.tiles.netcdf import parse_file
from kit.tiles.raster import Grid
from kit.tiles.scenes import Scene
from kit.tiles.values import VALUES

SCENES = "scenes.parquet"
_FORMAT = 2
_AGAIN = "run kit screen DATA again"
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
    "grid": pa.string(),
    "detector": pa.string(),
    "detector_bands": pa.string(),
    "detector_cloud": pa.float64(),
    "detector_shadow": pa.float64(),
    "clear": pa.bool_(),
    "values": pa.list_(pa.int64()),
}
# Earlier kits wrote neither the grid nor, before 0.6.0, what a detector sees and the values.
_LATER = {name for name in FIELDS if name in ("grid", "clear", "values")}
_LATER |= {name for name in FIELDS if name.startswith("detector")}
# Numbers for whoever opens the table; the kit compares places as texts.
_WRITTEN = FIELDS | {"longitude": pa.float64(), "latitude": pa.float64()}
RATIOS = ["sensor", "nodata_ratio", "qa60_ratio"]  # what `dataset1` looks at
CLOUDS = [*RATIOS, "cloud_ratio", "clear"]  # what `dataset2` looks at


@dataclass(frozen=True, slots=True)
class Screened:
    """A readable scene with its size in pixels and its ratios, each a share of all pixels.

    A radar scene has no clouds: its two cloud ratios are 0. `grid` is None where its files do not
    say where it lies. `flagged` is the share that a detector called cloud or shadow, and `clear`
    what the rule and that decide together; None where there was no second look. `values` are the
    counts of `kit.tiles.values`; empty where an earlier kit wrote the table.
    """

    scene: Scene
    height: int
    width: int
    nodata: float
    qa60: float
    cloud: float
    grid: Grid | None = None
    flagged: float | None = None
    clear: bool | None = None
    values: tuple[int, ...] = ()

    def is_clear(self, max_cloud: float) -> bool:
        """Whether it is clear by the rule alone, or by what was decided with a detector."""
        return self.cloud <= max_cloud if self.clear is None else self.clear


def read_screened(path: Path) -> Iterator[Screened]:
    """The rows of `scenes.parquet`, one after the other.

    Raises:
        InputError: there is no such table, or it is damaged.
    """
    for group in row_groups(path, [*FIELDS]):
        yield from map(_screened, to_rows(path, group, _AGAIN))


def read_screened_at(path: Path, places: Collection[Place]) -> Iterator[Screened]:
    """The rows of a few places alone, which takes a fraction of the time; raises as above."""
    lons, lats = (pa.array(sorted({place[axis] for place in places})) for axis in (0, 1))
    for group in row_groups(path, [*FIELDS]):
        near = pc.and_(pc.is_in(group["lon"], lons), pc.is_in(group["lat"], lats))
        for row in to_rows(path, group.filter(near), _AGAIN):
            if (row["lon"], row["lat"]) in places:
                yield _screened(row)


def _screened(row: dict[str, Any]) -> Screened:
    scene = Scene(
        row["sensor"],
        SceneKey(row["lon"], row["lat"], row["date"]),
        tuple(map(parse_file, row["paths"])),
    )
    return Screened(
        scene,
        height=row["height"],
        width=row["width"],
        nodata=row["nodata_ratio"],
        qa60=row["qa60_ratio"],
        cloud=row["cloud_ratio"],
        grid=Grid.parse(row["grid"]) if row.get("grid") else None,
        flagged=_flagged(row),
        clear=row.get("clear"),
        values=tuple(row.get("values") or ()),
    )


def _flagged(row: dict[str, Any]) -> float | None:
    cloud, shadow = row.get("detector_cloud"), row.get("detector_shadow")
    return None if cloud is None or shadow is None else cloud + shadow


def row_groups(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of `scenes.parquet`, one row group after the other.

    Columns that an earlier kit did not write are null.

    Raises:
        InputError: there is no such table, or it is damaged.
    """
    schema = pa.schema([(name, FIELDS[name]) for name in columns if name not in _LATER])
    missing = "run kit screen DATA first"
    with open_table(path, _FORMAT, schema, missing=missing, damaged=_AGAIN) as file:
        for number in range(file.num_row_groups):
            names = file.schema_arrow.names
            group = file.read_row_group(number, [name for name in columns if name in names])
            for name in columns:
                if name not in names:
                    group = group.append_column(name, _nulls(group, FIELDS[name]))
            yield group


def write_screened(path: Path, parts: Iterable[pa.Table]) -> None:
    """Write the readable scenes of all parts of `kit.screening.store` as one table, part by part.

    What a detector has seen of a part is in columns that `kit.screening.second_look` adds.

    Raises:
        OutputError: the table cannot be written.
    """
    schema = pa.schema(_WRITTEN)
    with table_writer(path, _FORMAT, schema) as writer:
        for part in parts:
            writer.write_table(_ratios(part).cast(schema))


def dataset1(group: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a group, with `RATIOS` among its columns, Dataset-1 has if paired."""
    optical = np.asarray(group["sensor"]) == "Sentinel2"
    empty, flagged = (np.asarray(group[name]) for name in ("nodata_ratio", "qa60_ratio"))
    result: NDArray[np.bool_] = optical & (empty == 0) & (flagged == 0)
    return result


def dataset2(group: pa.Table, max_cloud: float) -> NDArray[np.bool_]:
    """Which rows of a group, with `CLOUDS` among its columns, Dataset-2 has if paired."""
    return dataset1(group) & clear(group, max_cloud)


def clear_scenes(path: Path) -> list[SceneKey]:
    """The optical scenes that Dataset-2 has if paired, where it admits no cloud.

    Raises:
        InputError: there is no such table, or it is damaged.
    """
    found: list[SceneKey] = []
    for group in row_groups(path, [*CLOUDS, "lon", "lat", "date"]):
        rows = group.filter(pa.array(dataset2(group, max_cloud=0))).to_pylist()
        found += (SceneKey(row["lon"], row["lat"], row["date"]) for row in rows)
    return found


def clear(group: pa.Table, max_cloud: float) -> NDArray[np.bool_]:
    """Which rows are clear by the rule alone, or by what was decided with a detector."""
    decided = np.asarray(pc.is_valid(group["clear"]))
    result: NDArray[np.bool_] = np.asarray(group["cloud_ratio"]) <= max_cloud
    result[decided] = np.asarray(group["clear"].drop_null())
    return result


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
    values = np.stack([np.asarray(part[name]) for name in VALUES], axis=1)
    made["values"] = pa.array(values.tolist(), FIELDS["values"])
    made["longitude"], made["latitude"] = (pc.cast(part[n], pa.float64()) for n in ("lon", "lat"))
    for name, kind in _WRITTEN.items():
        if name not in made and name not in part.column_names:
            part = part.append_column(name, _nulls(part, kind))
    columns = [made[name] if name in made else part[name] for name in _WRITTEN]
    return pa.table(columns, names=[*_WRITTEN])


def _nulls(table: pa.Table, kind: pa.DataType) -> "pa.Array[Any]":
    return pa.array([None] * len(table), kind)
