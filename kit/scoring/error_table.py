"""The errors of each image as a table, Parquet or CSV as its name asks.

In: what `kit.scoring.images` measured. Out: one row an image. Refused by name: another format.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kit.archive.mapping import scene_in
from kit.errors import InputError
from kit.metrics import psnr
from kit.plain_text import printable, spreadsheet_cell
from kit.scoring.images import ImageScore
from kit.storage.files import output

CSV, PARQUET = ".csv", ".parquet"


def check_table(path: Path) -> None:
    """Refuse a name whose suffix is of no format that is written; without one it is Parquet.

    Raises:
        InputError: names the suffix.
    """
    if path.suffix.lower() not in (CSV, PARQUET, ""):
        problem = f"{path.suffix} is no format of a table"
        raise InputError(path, problem, remedy=f"known are {PARQUET} and {CSV}")


def write_images(path: Path, images: Sequence[ImageScore]) -> None:
    """Write one row an image; the PSNR of an image without error is infinite.

    Raises:
        InputError: the suffix is neither that of Parquet nor of CSV.
    """
    check_table(path)
    columns = _columns(images)
    # Arrow does not say which file it could not write.
    with output(path) as part, part.open("wb") as file:
        if path.suffix.lower() == CSV:
            file.write(_csv(columns))
        else:
            pq.write_table(pa.table({n: pa.array(v, _type(n)) for n, v in columns.items()}), file)


_TEXTS, _COUNT = ("row", "scene", "submission", "truth"), "valid_pixels"


def _columns(images: Sequence[ImageScore]) -> dict[str, list[Any]]:
    measured = images[0].errors if images else {}
    scenes = [scene_in(image.scene) for image in images]
    return {
        **{name: [getattr(image, name) for image in images] for name in _TEXTS},
        "mae": [image.mae for image in images],
        "mse": [image.mse for image in images],
        "psnr": [psnr(image.mse) for image in images],
        "stretched_mae": [image.stretched_mae for image in images],
        "stretched_mse": [image.stretched_mse for image in images],
        "stretched_psnr": [psnr(image.stretched_mse) for image in images],
        **{
            name: [image.errors[name] for image in images]
            for name in measured
            if name not in ("mae", "mse")
        },
        _COUNT: [image.valid for image in images],
        "longitude": [float(scene.lon) if scene else None for scene in scenes],
        "latitude": [float(scene.lat) if scene else None for scene in scenes],
    }


def _type(name: str) -> pa.DataType:
    return pa.string() if name in _TEXTS else pa.int64() if name == _COUNT else pa.float64()


def _csv(columns: dict[str, list[Any]]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    for values in zip(*columns.values(), strict=True):
        plain = (printable(value) if isinstance(value, str) else value for value in values)
        rows.writerow(map(spreadsheet_cell, plain))
    return text.getvalue().encode()
