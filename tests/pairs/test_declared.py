"""What tiles declare, and the units of their values, from folder to pairs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import InputError
from kit.pairs.pair_reader import Pixels
from kit.pairs.prepare import prepare
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.screening.screen import screen
from kit.tiles.rejection import FAILED, REJECTED
from tests.helpers.tiles import key, optical, radar, read_tile, world

CORNER = rasterio.Affine(0.1, 0, -55, 0, -0.1, -4)
Change = Callable[[np.ndarray], np.ndarray]


def rewritten(folder: Path, pattern: str, change: Change = lambda a: a, **options: object) -> None:
    """Write tiles again with other pixels, or with something that they declare."""
    found = sorted(folder.rglob(pattern))
    assert found
    for path in found:
        pixels = change(read_tile(path))
        shape = {"count": 1, "height": pixels.shape[0], "width": pixels.shape[1]}
        options = {"driver": "GTiff", "dtype": pixels.dtype.name} | options
        with rasterio.open(path, "w", **shape, **options) as tile:
            tile.write(pixels, 1)


def test_a_pair_on_two_grids_is_rejected(tmp_path: Path) -> None:
    data = world(tmp_path / "data", places=3, dates=1)
    place, other, third = key(0), key(1), key(2)
    rewritten(data, f"Sentinel1_V*_{place}.tiff", transform=CORNER, crs="EPSG:4326")
    moved = CORNER @ rasterio.Affine.translation(3, 0)
    optical_day = key(0, 2)
    rewritten(data, f"Sentinel2_*_{optical_day}.tiff", transform=moved, crs="EPSG:4326")
    rewritten(data, f"Sentinel1_V*_{other}.tiff", transform=CORNER, crs="EPSG:4326")
    rewritten(data, f"Sentinel2_*_{key(1, 2)}.tiff", transform=CORNER, crs="EPSG:32721")
    rewritten(data, f"Sentinel2_*_{key(2, 2)}.tiff", transform=CORNER, crs="EPSG:4326")
    summary = prepare(data, tmp_path / "work", holdout=0)
    assert summary.pairs == 1  # the third place: its radar does not say where it lies
    assert summary.dropped["grids differ"] == 2
    listed = (tmp_path / "work" / REJECTED).read_text()
    assert f"Sentinel2 {optical_day},grids differ,its corners lie 3 pixels apart" in listed
    assert "its CRS is EPSG:32721, the other's EPSG:4326" in listed
    assert str(third) not in listed


def test_south_up_scenes_are_listed(tmp_path: Path) -> None:
    data = world(tmp_path / "data", places=2, dates=1)
    south_up = rasterio.Affine(0.1, 0, -55, 0, 0.1, -4)
    rewritten(data, f"Sentinel1_VH_{key(0)}.tiff", transform=south_up, crs="EPSG:4326")
    assert prepare(data, tmp_path / "work", holdout=0).pairs == 1
    assert "is south-up" in (tmp_path / "work" / REJECTED).read_text()


IMPOSSIBLE: dict[str, tuple[Change, str]] = {
    "power": (lambda db: (10 ** (db / 10)).astype("f4"), "no radar value is negative"),
    "x100": (lambda db: db * 100, "of the radar values lie below -90 dB"),
    "x10": (lambda db: db * 10, "of the radar values lie below -90 dB"),
    "positive": (lambda db: -db, "no radar value is negative"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_radar_is_refused_and_tables_stay(tmp_path: Path, name: str) -> None:
    data, work = world(tmp_path / "data", places=3, dates=1), tmp_path / "work"
    prepare(data, work, holdout=0)
    before = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
    change, problem = IMPOSSIBLE[name]
    rewritten(data, "Sentinel1_V*.tiff", change)
    for command in (prepare, screen):
        with pytest.raises(InputError, match=rf"{problem}(.|\n)*--any-units"):
            command(data, work)
        after = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
        assert {n: b for n, b in after.items() if n not in (FAILED, ".lock")} == {
            n: b for n, b in before.items() if n != ".lock"
        }
    assert screen(data, work, units="any").doubts == ()


def pixels_of(pair: Pair) -> Pixels:
    with TilePairs().pixels(pair) as (sar, dn):
        return sar.copy(), dn.copy()


@pytest.mark.parametrize(("unit", "scale"), [("reflectance", 1e-4), ("DN", 1)])
def test_optical_floats_are_refused_or_admitted_and_read_alike(
    tmp_path: Path, unit: str, scale: float
) -> None:
    data, work = world(tmp_path / "data", places=3, dates=1), tmp_path / "work"
    prepare(data, work, holdout=0)
    pairs = read_pairs(work / PAIRS)
    before = [pixels_of(pair) for pair in pairs]
    rewritten(data, "Sentinel2_*.tiff", lambda dn: dn * np.float32(scale if dn.max() > 99 else 1))
    for units in ("check", "strict"):
        with pytest.raises(InputError, match=rf"3 of 3 optical scenes hold floats(.|\n)*as {unit}"):
            screen(data, work, units=units)
    assert read_pairs(work / PAIRS) == pairs
    lines: list[str] = []
    prepare(data, work, holdout=0, units="any", report=lines.append)
    assert any(f"3 of 3 optical scenes hold floats: read are 3 as {unit}" in line for line in lines)
    assert read_pairs(work / PAIRS) == pairs
    for pair, (_, optical_before) in zip(pairs, before, strict=True):
        np.testing.assert_array_equal(pixels_of(pair)[1], optical_before)
    with pytest.raises(InputError, match="hold floats"):  # though all are measured already
        prepare(data, work, holdout=0)


def test_the_offset_of_optical_scenes_is_a_warning(tmp_path: Path) -> None:
    data = world(tmp_path / "data", places=3, dates=1)
    rewritten(data, "Sentinel2_B*.tiff", lambda dn: (dn + 1000).astype("u2"))
    lines: list[str] = []
    prepare(data, tmp_path / "work", holdout=0, report=lines.append)
    expected = "3 of 3 cloudless optical scenes have no DN below 1000: take off the offset"
    assert [line for line in lines if line.startswith(expected)]
    with pytest.raises(InputError, match="baseline 04"):
        prepare(data, tmp_path / "work", holdout=0, units="strict")
    prepare(data, tmp_path / "work", holdout=0, units="any", report=lines.append)
    assert sum(line.startswith(expected) for line in lines) == 1


@pytest.mark.parametrize("fill", [-99, -9999, -32768, np.finfo("f4").min])
def test_a_fill_without_a_tag_is_nodata(tmp_path: Path, fill: float) -> None:
    data = world(tmp_path / "data", places=2, dates=1)
    half = np.arange(32) < 16
    rewritten(data, f"Sentinel1_VH_{key(0)}.tiff", lambda a: np.where(half, fill, a).astype("f4"))
    summary = prepare(data, tmp_path / "work", holdout=0)
    assert summary.pairs == 1 and summary.dropped["radar nodata"] == 1
    assert "50.00% of the radar" in (tmp_path / "work" / REJECTED).read_text()


def test_what_is_clipped_is_counted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    radar(data, key(0))
    optical(data, key(0, 2))
    rows = np.arange(32)[:, None] < 8  # a quarter of one band of two, and of one of three
    rewritten(data, "Sentinel1_VV*.tiff", lambda a: np.where(rows, 5, a.clip(-24, -1)).astype("f4"))
    rewritten(data, "Sentinel1_VH*.tiff", lambda a: a.clip(-32, -1))
    rewritten(data, "Sentinel2_B4*.tiff", lambda a: np.where(rows, 3001, a).astype("u2"))
    summary = prepare(data, tmp_path / "work", holdout=0)
    assert summary.clipped == {"radar": 1 / 8, "optical": pytest.approx(1 / 12)}


def test_the_command_line_admits_warns_and_refuses(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=2, dates=1), str(tmp_path / "work")
    rewritten(data, f"Sentinel1_V*_{key(0)}.tiff", lambda db: (10 ** (db / 10)).astype("f4"))
    command, run = ["prepare", str(data), "--work", work, "--holdout", "0"], CliRunner()
    warned = run.invoke(app, command)
    assert warned.exit_code == 0
    text = " ".join((warned.stdout + warned.stderr).split())
    assert "warning: 1 of 2 radar scenes lie mostly above -3 dB" in text
    assert "networks see VV -25..0 dB, VH -32.5..0 dB, DN 0..3000: that clips" in text
    assert "of the radar values and 0.00% of the values of optical scenes without cloud" in text
    assert run.invoke(app, [*command, "--any-units", "--json"]).exit_code == 0
    strict = run.invoke(app, [*command, "--strict"])
    assert isinstance(strict.exception, InputError) or strict.exit_code == 3
    assert run.invoke(app, [*command, "--strict", "--any-units"]).exit_code == 2
    screened = run.invoke(app, ["screen", str(data), "--work", work, "--json"])
    assert len(json.loads(screened.stdout)["doubts"]) == 1
    assert (tmp_path / "work" / PAIRS).is_file()
