"""What files fill up with is no measurement: no range is measured on it, or judged by it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import InputError
from kit.sources.convert import Wanted
from kit.sources.find import find_tiles
from kit.sources.radar import find_radar_images
from kit.sources.units import SourceUnits, to_db
from tests.helpers.sources import scene, write_image, write_sen12ms

MEASURED = {"VV": "measured", "VH": "measured", "DN": "measured"}


def write_filled(folder: Path, fill: float, unit: str = "dB", *, rows: int) -> Path:
    """SEN12MS, whose first rows hold `fill` in VV, and 0 in the optical bands."""
    write_sen12ms(folder, 1)
    for path in folder.rglob("*_p0.tif"):
        db, dn = scene(100 * int(path.stem.split("_")[-2]))
        if "_s1_" in path.name:
            pixels = db if unit == "dB" else 10 ** (db / 10)
            pixels[0, :rows] = fill
        else:
            dn[:, :rows] = 0
            pixels = np.concatenate([dn[::-1][[0]], dn[::-1], np.repeat(dn[:1], 9, axis=0)])
        write_image(path, pixels)
    return folder


def ranges(data: Path, work: Path, unit: str) -> dict[str, Any]:
    converted = find_tiles(data, work, "sen12ms", Wanted(radar=unit, ranges=MEASURED), "any")
    assert converted and converted.units
    return converted.units


@pytest.mark.parametrize(
    ("unit", "fill"), [("dB", -9999.0), ("dB", 0.0), ("power", 0.0), ("power", 1e-30)]
)
def test_a_range_is_measured_where_there_are_values(tmp_path: Path, unit: str, fill: float) -> None:
    found = ranges(write_filled(tmp_path / "d", fill, unit, rows=8), tmp_path / "w", unit)
    left = [scene(100 * number) for number in (1, 2, 3)]
    for name, index in (("vv_range", 0), ("vh_range", 1)):
        values = np.concatenate([db[index, 8::4, ::4].ravel() for db, _ in left])
        np.testing.assert_allclose(found[name], np.quantile(values, (0.005, 0.995)), atol=0.05)
    values = np.concatenate([dn[:, 8::4, ::4].ravel() for _, dn in left])
    np.testing.assert_allclose(found["dn_range"], np.quantile(values, (0.005, 0.995)))


def test_no_range_is_measured_where_all_is_missing(tmp_path: Path) -> None:
    data = write_filled(tmp_path / "d", -9999.0, rows=32)
    with pytest.raises(InputError, match="--vv-range: all values of a sample are missing"):
        ranges(data, tmp_path / "w", "dB")


def test_what_is_missing_lies_outside_of_no_range(tmp_path: Path) -> None:
    data = write_filled(tmp_path / "d", -9999.0, rows=28)
    trained = {"radar": "dB", "optical": "DN", "vv_range": [-30.0, 5.0], "vh_range": [-35.0, 0.0]}
    images = find_radar_images(data, tmp_path / "w", trained, "sen12ms")
    assert images and not any("outside" in doubt for doubt in images.doubts)


@pytest.mark.parametrize(("unit", "none"), [("dB", -91.0), ("dB", 0.0), ("power", 1e-10)])
def test_what_is_not_measured_is_missing_in_tiles_of_a_range(unit: str, none: float) -> None:
    some = -12.0 if unit == "dB" else 10**-1.2
    pixels = np.array([[[some, none]], [[some, some]]], np.float32)
    db = to_db(pixels, SourceUnits(unit, vv=(-30.0, 5.0), vh=(-30.0, 5.0)))
    assert np.isfinite(db[:, 0, 0]).all() and np.isnan(db[:, 0, 1]).all()
