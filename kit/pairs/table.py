"""`pairs.parquet`: every pair, its data sets, and its split.

In: pairs. Out: a row each, and the pairs again. Refused: a table that is missing or damaged.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from kit.errors import InputError
from kit.files import atomic
from kit.tiles.names import SceneKey
from kit.tiles.netcdf import Plane

PAIRS = "pairs.parquet"
Split = Literal["train", "holdout", "buffer"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A Sentinel-1 and a Sentinel-2 scene of one place; paths are VV, VH and B4, B3, B2.

    `split` is "buffer" for pairs that training must not see: they show ground of the hold-out.
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

    @property
    def paths(self) -> tuple[Path | Plane, ...]:
        """All tiles, those of the radar first."""
        return *self.radar_paths, *self.optical_paths

    @property
    def place(self) -> tuple[str, str]:
        """Longitude and latitude as the names give them."""
        return self.optical.lon, self.optical.lat


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Write one row a pair as Parquet."""
    table = pa.table(
        {
            "lon": [pair.optical.lon for pair in pairs],
            "lat": [pair.optical.lat for pair in pairs],
            "radar_date": pa.array([pair.radar.date for pair in pairs], pa.date32()),
            "optical_date": pa.array([pair.optical.date for pair in pairs], pa.date32()),
            "radar_paths": pa.array([[*map(str, pair.radar_paths)] for pair in pairs], _PATHS),
            "optical_paths": pa.array([[*map(str, pair.optical_paths)] for pair in pairs], _PATHS),
            "height": pa.array([pair.height for pair in pairs], pa.int32()),
            "width": pa.array([pair.width for pair in pairs], pa.int32()),
            "nodata_ratio": pa.array([pair.nodata for pair in pairs], pa.float64()),
            "qa60_ratio": pa.array([pair.qa60 for pair in pairs], pa.float64()),
            "cloud_ratio": pa.array([pair.cloud for pair in pairs], pa.float64()),
            "dataset1": pa.array([pair.dataset1 for pair in pairs], pa.bool_()),
            "dataset2": pa.array([pair.dataset2 for pair in pairs], pa.bool_()),
            "split": [pair.split for pair in pairs],
        }
    )
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """Read what `write_pairs` wrote.

    Raises:
        InputError: there is no such table, or it is damaged.
    """
    try:
        rows = pq.read_table(path).to_pylist()
    except FileNotFoundError:
        raise InputError(path, "no such table", remedy="run kit prepare DATA first") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(path, f"damaged ({error})", remedy="run kit prepare DATA again") from None
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
        )
        for row in rows
    )


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


def _files(texts: Iterable[str]) -> tuple[Path | Plane, ...]:
    return tuple(Plane.parse(text) or Path(text) for text in texts)


_PATHS = pa.list_(pa.string())
