"""`pairs.parquet`: every pair, its data sets, and its split.

In: pairs. Out: a row each, and the pairs again. Refused: a table that is missing or
damaged, or whose values cannot be.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from kit.colors import Color
from kit.errors import InputError
from kit.ground import side_in_pixels
from kit.storage.files import PAIRS as PAIRS
from kit.storage.seal import open_table, read_table, to_rows, write_table
from kit.tiles.names import RGB_BANDS, S1_BANDS, SceneKey
from kit.tiles.netcdf import Plane
from kit.units_record import UnitsRecord

_MOST_GROUND = 1e7  # metres: a quarter of the way around the Earth
Split = Literal["train", "holdout", "buffer"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A Sentinel-1 and a Sentinel-2 scene of one place; paths are VV, VH and B4, B3, B2.

    `split` is "buffer" for pairs that training must not see: they show ground of the hold-out.
    `color` is None where it was not measured, as in tables of kits before 0.4.0. `ground_m` is how
    many metres it spans from west to east or from south to north, None where it is not placed by
    its own transform. `flagged` is the share of the optical scene that a detector called cloud or
    shadow, None where there was no second look. `values` are the counts of `kit.tiles.values` of
    the radar and then of the optical scene; empty in tables of kits before 0.6.0.
    """

    radar: SceneKey
    optical: SceneKey
    radar_paths: tuple[Path | Plane, ...]
    optical_paths: tuple[Path | Plane, ...]
    height: int
    width: int
    nodata: float
    qa60: float
    cloud: float
    dataset1: bool
    dataset2: bool
    split: Split = "train"
    color: Color | None = None
    ground_m: float | None = None
    flagged: float | None = None
    values: tuple[int, ...] = ()

    @property
    def side(self) -> int:
        """The side of the ground that it shows, in pixels of 10 m."""
        pixels = max(self.height, self.width)
        return pixels if self.ground_m is None else side_in_pixels(self.ground_m)

    @property
    def paths(self) -> tuple[Path | Plane, ...]:
        """All tiles, those of the radar first."""
        return *self.radar_paths, *self.optical_paths

    @property
    def place(self) -> tuple[str, str]:
        """Longitude and latitude as the names give them."""
        return self.optical.place


def write_pairs(path: Path, pairs: Sequence[Pair], units: Mapping[str, Any] | None = None) -> None:
    """Write one row a pair as Parquet, sealed.

    Args:
        path: of the table.
        pairs: its rows.
        units: of their pixels, as `kit.sources.units` records them; None for dB and DN.

    Raises:
        OutputError: it cannot be written.
    """
    columns: dict[str, list[Any]] = {
        "lon": [pair.optical.lon for pair in pairs],
        "lat": [pair.optical.lat for pair in pairs],
        "radar_date": [pair.radar.date for pair in pairs],
        "optical_date": [pair.optical.date for pair in pairs],
        "radar_paths": [[*map(str, pair.radar_paths)] for pair in pairs],
        "optical_paths": [[*map(str, pair.optical_paths)] for pair in pairs],
        "height": [pair.height for pair in pairs],
        "width": [pair.width for pair in pairs],
        "nodata_ratio": [pair.nodata for pair in pairs],
        "qa60_ratio": [pair.qa60 for pair in pairs],
        "cloud_ratio": [pair.cloud for pair in pairs],
        "dataset1": [pair.dataset1 for pair in pairs],
        "dataset2": [pair.dataset2 for pair in pairs],
        "split": [pair.split for pair in pairs],
        "longitude": [float(pair.optical.lon) for pair in pairs],
        "latitude": [float(pair.optical.lat) for pair in pairs],
        "color": [pair.color and [*pair.color] for pair in pairs],
        "ground_m": [pair.ground_m for pair in pairs],
        "detector_ratio": [pair.flagged for pair in pairs],
        "values": [[*pair.values] for pair in pairs],
    }
    table = pa.table(columns, _WRITTEN)
    write_table(path, _FORMAT, table.replace_schema_metadata({_UNITS: json.dumps(units)}))


def read_pair_units(path: Path) -> UnitsRecord:
    """The units of the pixels of a table's pairs, as they were given to `write_pairs`.

    Raises:
        InputError: there is no such table, or it is damaged.
        KeyError: a kit before 0.6.0 wrote it, which had them in the summary alone.
    """
    with open_table(path, _FORMAT, _SCHEMA, missing=_MISSING, damaged=_DAMAGED) as file:
        found: UnitsRecord = json.loads((file.schema_arrow.metadata or {})[_UNITS])
    return found


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Read what `write_pairs` wrote.

    Raises:
        InputError: there is no such table, or it is damaged, or a value in it is impossible.
    """
    table = read_table(
        path, _FORMAT, _SCHEMA, optional=_OPTIONAL, missing=_MISSING, damaged=_DAMAGED
    )
    rows = to_rows(path, table, _DAMAGED)
    seen = set()
    for number, row in enumerate(rows, start=1):
        if problem := _problem(row):
            raise InputError(path, f"its row {number} has {problem}", remedy=_DAMAGED)
        if (optical := (row["lon"], row["lat"], row["optical_date"])) in seen:
            problem = f"its row {number} repeats the optical scene of an earlier one"
            raise InputError(path, problem, remedy=_DAMAGED)
        seen.add(optical)
    return tuple(
        Pair(
            radar=SceneKey(row["lon"], row["lat"], row["radar_date"]),
            optical=SceneKey(row["lon"], row["lat"], row["optical_date"]),
            radar_paths=_files(row["radar_paths"]),
            optical_paths=_files(row["optical_paths"]),
            height=row["height"],
            width=row["width"],
            nodata=row["nodata_ratio"],
            qa60=row["qa60_ratio"],
            cloud=row["cloud_ratio"],
            dataset1=row["dataset1"],
            dataset2=row["dataset2"],
            split=row["split"],
            color=_color(row.get("color")),
            ground_m=row.get("ground_m"),
            flagged=row.get("detector_ratio"),
            values=tuple(row.get("values") or ()),
        )
        for row in rows
    )


def _problem(row: dict[str, Any]) -> str:
    """What cannot be in a row; a table without a seal may have been written by anybody."""
    if row["split"] not in get_args(Split):
        return f"the split {row['split']!r}, which is none of {', '.join(get_args(Split))}"
    if row["split"] == "holdout" and not row["dataset2"]:
        return "a pair of the hold-out that is not in Dataset-2"
    for name in ("nodata_ratio", "qa60_ratio", "cloud_ratio", "detector_ratio"):
        if row.get(name) is not None and not 0 <= row[name] <= 1:
            return f"a {name} of {row[name]}, which is no share"
    if min(row["height"], row["width"]) < 1:
        return f"a size of {row['height']} x {row['width']} pixels"
    for name, bands in (("radar_paths", S1_BANDS), ("optical_paths", RGB_BANDS)):
        if len(row[name]) != len(bands) or not all(row[name]):
            return f"other {name} than those of {', '.join(bands)}"
    if row.get("ground_m") is not None and not 0 < row["ground_m"] < _MOST_GROUND:
        return f"{row['ground_m']} m of ground"
    if row.get("color") is not None and _color(row["color"]) is None:
        return f"the colour {row['color']}, which is not three numbers in [0, 1]"
    return ""


def train_pairs(pairs: Iterable[Pair], dataset: int) -> tuple[Pair, ...]:
    """The pairs of Dataset-1 or Dataset-2 that training may see."""
    flag = {1: "dataset1", 2: "dataset2"}[dataset]
    return tuple(pair for pair in pairs if pair.split == "train" and getattr(pair, flag))


def holdout_pairs(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """The pairs set aside for self-evaluation."""
    return tuple(pair for pair in pairs if pair.split == "holdout")


def fingerprint(pairs: Iterable[Pair]) -> str:
    """SHA-256 of what training depends on: the scenes, data sets and split, not where tiles lie."""
    digest = hashlib.sha256()
    for pair in pairs:
        parts = (pair.radar, pair.optical, pair.dataset1, pair.dataset2, pair.split)
        digest.update((" ".join(map(str, parts)) + "\n").encode())
    return digest.hexdigest()


def pixels_fingerprint(pairs: Iterable[Pair]) -> str | None:
    """SHA-256 of what the pixels of pairs are like; None where an earlier kit wrote the table.

    Tiles that are processed anew under the same names differ in it, wherever they lie: it is of
    colours and of counts of values, not of each pixel.
    """
    digest = hashlib.sha256()
    for pair in pairs:
        if not pair.values:
            return None
        digest.update(f"{pair.values} {pair.color}\n".encode())
    return digest.hexdigest()


def _color(values: Sequence[float] | None) -> Color | None:
    """Red, green and blue of a row; None where there are none, or they cannot be."""
    numbers = [value for value in values or () if value is not None and 0 <= value <= 1]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == len(values or ()) == 3 else None


def _files(texts: Iterable[str]) -> tuple[Path | Plane, ...]:
    return tuple(Plane.parse(text) or Path(text) for text in texts)


_FORMAT = 2
_UNITS = b"kit.units"
_MISSING, _DAMAGED = "run kit prepare DATA first", "run kit prepare DATA again"
_PATHS = pa.list_(pa.string())
_SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in {
            "lon": pa.string(),
            "lat": pa.string(),
            "radar_date": pa.date32(),
            "optical_date": pa.date32(),
            "radar_paths": _PATHS,
            "optical_paths": _PATHS,
            "height": pa.int32(),
            "width": pa.int32(),
            "nodata_ratio": pa.float64(),
            "qa60_ratio": pa.float64(),
            "cloud_ratio": pa.float64(),
            "dataset1": pa.bool_(),
            "dataset2": pa.bool_(),
            "split": pa.string(),
        }.items()
    ]
)
_OPTIONAL = pa.schema(
    [
        pa.field("color", pa.list_(pa.float64())),
        pa.field("ground_m", pa.float64()),
        pa.field("detector_ratio", pa.float64()),
        pa.field("values", pa.list_(pa.int64())),
    ]
)
# Numbers for whoever opens the table; the kit compares places as texts.
_NUMBERS = [pa.field(name, pa.float64(), nullable=False) for name in ("longitude", "latitude")]
_WRITTEN = pa.schema([*_SCHEMA, *_NUMBERS, *_OPTIONAL])
