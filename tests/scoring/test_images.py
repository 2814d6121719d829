"""The table of images, and the worst of them."""

import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kit.errors import OutputError
from kit.scoring.error_table import write_images
from kit.scoring.images import ImageScore, worst


def scored(submission: str, mae: float, mse: float = 0.01) -> ImageScore:
    errors = {"mae": mae, "mse": mse}
    return ImageScore("mine", "sar", submission, "truth", errors, 0.2, 0.1, 256)


def test_a_row_an_image_with_its_decibels(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.parquet"
    write_images(path, [scored("a", 0.1), scored("b", 0.0, mse=0.0)])
    rows = pq.read_table(path).to_pylist()
    assert rows[0] == {
        "row": "mine", "scene": "sar", "submission": "a", "truth": "truth", "mae": 0.1,
        "mse": 0.01, "psnr": 20.0, "stretched_mae": 0.2, "stretched_mse": 0.1,
        "stretched_psnr": 10.0, "valid_pixels": 256, "longitude": None, "latitude": None,
    }  # fmt: skip
    assert rows[1]["psnr"] == math.inf
    write_images(path, [])
    assert pq.read_table(path).num_rows == 0
    assert [file.name for file in path.parent.iterdir()] == ["out.parquet"]


def test_places_are_numbers_too(tmp_path: Path) -> None:
    image = replace(scored("a", 0.1), scene="Sentinel1_-54.48_-3.33_2016_10_09.tiff")
    write_images(tmp_path / "out.parquet", [image])
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["longitude"], row["latitude"]) == (-54.48, -3.33)


def test_the_worst_come_first_and_equal_ones_by_name() -> None:
    images = [scored("b", 0.2), scored("c", 0.1), scored("a", 0.2), scored("d", 0.3)]
    assert [image.submission for image in worst(images, 3)] == ["d", "a", "b"]
    assert len(worst(images, 9)) == 4


def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(OutputError, match=r"out\.parquet: cannot be written"):
        write_images(tmp_path / "out.parquet", [])
    # No file can be made in /proc, not even by the superuser.
    with pytest.raises(OutputError, match=r"/proc/out\.parquet: cannot be written"):
        write_images(Path("/proc/out.parquet"), [])
