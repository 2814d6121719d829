"""Folders of other layouts become tiles, pairs, and all that follows."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.pairs.summary import read_units
from kit.pairs.table import holdout_pairs, read_pairs
from kit.sources.convert import Wanted
from kit.tiles.bands import read_bands
from tests.helpers.sources import (
    grey,
    scene,
    write_bigearthnet,
    write_image,
    write_pictures,
    write_sen12ms,
)
from tests.helpers.tiles import in_float16


def told(data: Path, work: Path, **options: Any) -> list[str]:
    lines: list[str] = []
    prepare(data, work, report=lines.append, announce=lines.append, **options)
    return lines


def pixels(work: Path, number: int = 0) -> tuple[Any, Any]:
    """Of the pair whose radar file is listed as that number."""
    rows = [*csv.DictReader((work / "tiles/index.csv").open())]
    key = [row["scene"] for row in rows if row["sensor"] == "Sentinel1"][number]
    pair = next(p for p in read_pairs(work / "pairs.parquet") if str(p.radar) == key)
    radar = read_bands("Sentinel1", pair.radar_paths)
    return radar, read_bands("Sentinel2", pair.optical_paths)


def test_pictures_are_found_out_and_their_split_is_honoured(pictures: Path, tmp_path: Path) -> None:
    lines = told(pictures, tmp_path)
    assert "source pairs" in lines[0] and "train 12" in lines[0] and "test 2" in lines[0]
    assert any("without QA60" in line and "dates" in line for line in lines)
    assert len(read_pairs(tmp_path / "pairs.parquet")) == 12
    tiles = tmp_path / "tiles"
    assert len([*(tiles / "test").iterdir()]) == 2 * 2  # VV and VH
    assert len([*(tiles / "truth").iterdir()]) == 2 * 4
    rows = [*csv.DictReader((tiles / "index.csv").open())]
    assert {row["file"] for row in rows if row["part"] == "test"} == {
        *(f"test{folder}/{number}.png" for folder in "AB" for number in (12, 13))
    }


def test_a_picture_spans_what_networks_see(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for number in range(2):
        write_image(tmp_path / "d" / "sar" / f"{number}.png", values)
        write_image(tmp_path / "d" / "opt" / f"{number}.png", values.repeat(3, axis=0))
    told(tmp_path / "d", tmp_path / "w")
    radar, optical = pixels(tmp_path / "w")
    grey_levels = values[0] / 255
    np.testing.assert_allclose((radar[0] + 25) / 25, grey_levels, atol=1e-6)
    np.testing.assert_allclose((radar[1] + 32.5) / 32.5, grey_levels, atol=1e-6)
    np.testing.assert_allclose(optical[0] / 3000, grey_levels, atol=1 / 3000, rtol=0.0)
    assert (radar != 0).all() and optical.all()  # 0 would be no data


@pytest.mark.slow
def test_sen12ms_keeps_scenes_together_and_leaves_cloudy_twins_aside(
    sen12ms: Path, tmp_path: Path
) -> None:
    lines = told(sen12ms, tmp_path)
    assert "source sen12ms" in lines[0]
    assert any("left aside: 12 files" in line for line in lines)
    pairs = read_pairs(tmp_path / "pairs.parquet")
    assert len(pairs) == 12 and {str(pair.optical.date) for pair in pairs} == {"2017-04-15"}
    assert read_units(tmp_path) is None  # dB and DN, as official tiles
    db, dn = scene(100)
    radar, optical = pixels(tmp_path, 0)
    np.testing.assert_array_equal(radar, db)
    np.testing.assert_array_equal(optical[2], dn[2])  # band 2 of 13
    held = {pair.optical.lon[:5] for pair in holdout_pairs(pairs)}
    trained = {pair.optical.lon[:5] for pair in pairs if pair.split == "train"}
    assert held and not held & trained


def test_a_list_of_ones_own_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(Path("d"), 4)
    Path("mine.toml").write_text(
        "[radar]\nfiles = ['{part}A/{name}.png']\nunit = 'picture'\n"
        "[optical]\nfiles = ['{part}B/{name}.png']\nunit = 'picture'\n"
        "bands = { B4 = 1, B3 = 2, B2 = 3 }\n[lists]\ntest = ['heldout.txt']\n"
    )
    lines = told(Path("d"), Path("w"), source="mine.toml")
    assert "no heldout.txt is here, which is to list the test part" in lines


@pytest.mark.slow
def test_one_season_of_sen12ms_is_sen12ms(tmp_path: Path) -> None:
    data = write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    for part, folder in enumerate((data, data / "ROIs1158_spring")):
        lines = told(folder, tmp_path / f"w{part}")
        assert lines[0].startswith("source sen12ms") and "units: dB and DN" in lines
    season, whole = (read_pairs(tmp_path / w / "pairs.parquet") for w in ("w1", "w0"))
    assert len(season) == 6
    assert [(p.radar, p.optical) for p in season] == [(p.radar, p.optical) for p in whole]


def test_pictures_of_more_bands_than_three_are_not_guessed(tmp_path: Path) -> None:
    for number in range(2):
        db, dn = scene(number)
        write_image(tmp_path / "d" / "sar" / f"{number}.tif", grey(db, -30, 0))
        write_image(tmp_path / "d" / "opt" / f"{number}.tif", np.concatenate([dn, dn[:1]]))
    with pytest.raises(InputError, match=r"has 4 bands, not 3\n.* a source of your own"):
        prepare(tmp_path / "d", tmp_path / "w")


def test_pictures_of_two_pixel_types_are_named(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "d", 4)
    wide = grey(scene(2)[0][:1], -25, 0).astype(np.uint16) * 257
    write_image(data / "trainA" / "2.png", wide)
    with pytest.raises(InputError, match=r"uint16, uint8, such as 2 and 0\n.*write all in one, or"):
        prepare(data, tmp_path / "w")


def test_what_is_left_out_is_named_by_its_file_too(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "d", 4)
    write_image(data / "trainB" / "3.png", grey(scene(3, 64)[1], 0, 3000))
    prepare(data, tmp_path / "w", holdout=0)
    rows = [*csv.DictReader((tmp_path / "w" / "rejected.csv").open())]
    (row,) = [row for row in rows if row["kind"] == "sizes differ"]
    assert row["reason"] == "64x64, its radar 32x32 (trainB/3.png)"


@pytest.mark.parametrize("version", [1, 2])
def test_bigearthnet_of_both_versions(tmp_path: Path, version: int) -> None:
    data = write_bigearthnet(tmp_path / "d", 6, version)
    told(data, tmp_path / "w")
    pairs = read_pairs(tmp_path / "w" / "pairs.parquet")
    assert len(pairs) == (6 if version == 1 else 5)
    assert {(str(p.radar.date), str(p.optical.date)) for p in pairs} == {
        ("2017-06-13", "2017-06-14")
    }
    lon, lat = map(float, pairs[0].place)
    assert abs(lon - 13.66) < 0.02 and abs(lat - 47.84) < 0.01
    assert all(Path(str(path)).is_symlink() for path in pairs[0].paths)  # tiles already
    if version == 2:  # the official validation part is the hold-out
        assert [pair.split for pair in pairs].count("holdout") == 1


@pytest.mark.slow
def test_a_second_time_nothing_is_written(pictures: Path, tmp_path: Path) -> None:
    told(pictures, tmp_path)
    before = {path: path.lstat().st_ctime_ns for path in (tmp_path / "tiles/train").iterdir()}
    told(pictures, tmp_path)
    assert before == {p: p.lstat().st_ctime_ns for p in (tmp_path / "tiles/train").iterdir()}


@pytest.mark.slow
def test_what_a_kill_left_half_written_is_removed(pictures: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    prepare(pictures, work)
    left = [work / "tiles" / part / ".earlier.part" for part in ("train", "qa60")]
    for path in left:
        path.mkdir()
    prepare(pictures, work)
    assert not any(path.exists() for path in left)


@pytest.mark.slow
def test_ranges_travel_with_the_pairs(sen12ms: Path, tmp_path: Path) -> None:
    told(sen12ms, tmp_path, wanted=Wanted(ranges={"VV": (-30.0, 5.0), "DN": "measured"}))
    found = read_units(tmp_path)
    assert found and found["vv_range"] == [-30, 5] and "vh_range" not in found
    low, high = found["dn_range"]
    assert 200 < low < 700 and 900 < high < 1400
    radar, _ = pixels(tmp_path)
    db, _ = scene(100)
    np.testing.assert_allclose((radar[0] + 25) / 25, (db[0] + 30) / 35, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "change", "remedy"),
    [
        ("s1", lambda values: 10 ** (values / 10), "--radar-unit power"),
        ("s2", lambda values: (values / 1e4).astype(np.float32), "--optical-unit reflectance"),
        ("s2", lambda values: (values / 1e2).astype(np.float32), "--optical-unit percent"),
    ],
)
def test_impossible_units_are_refused_with_the_setting_that_converts(
    tmp_path: Path, side: str, change: Any, remedy: str
) -> None:
    write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    for path in (tmp_path / "d").rglob(f"*_{side}_*.tif"):
        with rasterio.open(path) as file:
            values, corner = file.read(), (file.transform.c, file.transform.f)
        write_image(path, change(values), corner=corner)
    with pytest.raises(InputError) as error:
        prepare(tmp_path / "d", tmp_path / "w")
    assert remedy in error.value.remedy and "--any-units" in error.value.remedy
    option, unit = remedy.split()
    prepare(tmp_path / "d", tmp_path / "w", wanted=Wanted(**{option[2:].split("-")[0]: unit}))
    radar, optical = pixels(tmp_path / "w")
    db, dn = scene(0)
    np.testing.assert_allclose(radar, db, atol=1e-4)
    np.testing.assert_array_equal(optical, dn)


@pytest.mark.slow
def test_what_files_have_lost_is_told_whatever_the_units(tmp_path: Path) -> None:
    write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    in_float16(*(tmp_path / "d").rglob("*_s1_*.tif"))
    told = "radar pixels are float16, which rounds dB to 0.02"
    for units in ("check", "any"):
        lines: list[str] = []
        prepare(tmp_path / "d", tmp_path / "w", units=units, report=lines.append)
        assert sum(line.startswith(told) for line in lines) == 1
    with pytest.raises(InputError, match=told):
        prepare(tmp_path / "d", tmp_path / "w", units="strict")


def test_two_layouts_are_refused(pictures: Path, sen12ms: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "d" / "one")
    shutil.copytree(sen12ms, tmp_path / "d" / "two")
    with pytest.raises(InputError, match="files of sen12ms and of pairs"):
        prepare(tmp_path / "d", tmp_path / "w")
    write_pictures(tmp_path / "e", 1)
    write_image(tmp_path / "e" / "sar" / "1.png", grey(scene(0)[0][:1], -25, 0))
    write_image(tmp_path / "e" / "opt" / "1.png", grey(scene(0)[1], 0, 3000))
    with pytest.raises(InputError, match="pairs of 2 layouts"):
        prepare(tmp_path / "e", tmp_path / "w")


def test_a_folder_that_makes_no_layout_is_named_with_what_it_lacks(
    pictures: Path, sen12ms: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "apart"  # the names of both sensors are of two alternatives
    shutil.copytree(pictures / "trainA", apart / "trainA")
    shutil.copytree(pictures / "trainB", apart / "optical")
    shutil.copytree(pictures / "trainA", tmp_path / "other" / "mine")
    shutil.copytree(pictures / "trainA", tmp_path / "tiles" / "deep")
    (tmp_path / "tiles" / "deep" / "Landsat8_B4_1.0_2.0_2020_01_01.tiff").touch()
    for data, problem, remedy in (
        (pictures / "testB", r"has 2 optical images, and no radar ones, such as .part.A", "both"),
        (sen12ms / "ROIs1158_spring_s1", r"has 12 radar .*, such as .*_s2_", "both"),
        (apart, "names radar and optical images differently, such as 0 and 0", "--source FILE"),
        (tmp_path / "other", r"none of its 12 images, such as mine/0\.png", "radar and optical"),
        (tmp_path / "tiles", "holds no tile, nor do its sent1/", "tiles are called"),
    ):
        with pytest.raises(InputError, match=problem) as error:
            prepare(data, tmp_path / "w")
        assert remedy in str(error.value.remedy)


def test_what_cannot_be_used_is_listed(pictures: Path, tmp_path: Path) -> None:
    data = tmp_path / "d"
    shutil.copytree(pictures, data)
    (data / "trainB" / "3.png").unlink()  # without its twin
    db, dn = scene(5)
    clear = np.concatenate([grey(dn, 0, 3000), np.full((1, 32, 32), 9, np.uint8)])
    write_image(data / "trainB" / "5.png", clear)
    from PIL import Image

    Image.fromarray(grey(dn, 0, 3000)[0]).convert("P").save(data / "trainB" / "6.png")
    write_image(data / "trainA" / "7.png", grey(np.concatenate([db, db[:1] - 3]), -25, 0))
    summary = prepare(data, tmp_path / "w")
    assert summary.pairs == 8
    listed = (tmp_path / "w" / "rejected.csv").read_text()
    for words in ("no optical image goes with it", "transparent", "palette", "bands that differ"):
        assert words in listed


@pytest.mark.slow
def test_tiles_in_other_projections_make_no_pair(tmp_path: Path) -> None:
    write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    path = next((tmp_path / "d").rglob("*_s1_3_p0.tif"))
    write_image(path, scene(300)[0], corner=(460000.0, 5400000.0), crs="EPSG:32634")
    assert prepare(tmp_path / "d", tmp_path / "w").pairs == 5
    assert "its CRS is EPSG:32633" in (tmp_path / "w" / "rejected.csv").read_text()


@pytest.mark.slow
def test_bands_in_another_order_than_declared(tmp_path: Path) -> None:
    write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    for path in (tmp_path / "d").rglob("*_s1_*.tif"):
        write_image(path, scene(0)[0][::-1])
    assert any("VV is weaker than VH" in line for line in told(tmp_path / "d", tmp_path / "w"))
    for path in (tmp_path / "d").rglob("*_s1_*.tif"):
        write_image(path, scene(0)[0], names=("VH", "VV"))
    with pytest.raises(InputError, match="calls its band 1 VH, where the source expects VV"):
        prepare(tmp_path / "d", tmp_path / "w")


@pytest.mark.slow
def test_a_list_of_absent_images(tmp_path: Path) -> None:
    data = write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    names = [path.name for path in data.rglob("*_s2_*.tif")]
    (data / "train_list.txt").write_text("\n".join(sorted(names)[1:]) + "\nROIs_x.tif\n")
    (data / "test_list.txt").write_text(sorted(names)[0] + "\n")
    lines = told(data, tmp_path / "w")
    assert any("train_list.txt: names 1 of 6 images that are absent" in line for line in lines)
    assert "test 1" in lines[0]
    (data / "test_list.txt").write_text("ROIs_x.tif\nROIs_y.tif\n")
    with pytest.raises(InputError, match="none of them is here"):
        prepare(data, tmp_path / "w")


def test_a_list_of_the_test_part_alone_leaves_the_others_to_train_on(tmp_path: Path) -> None:
    data = write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    names = sorted(path.name for path in data.rglob("*_s2_*.tif"))
    (data / "test_list.txt").write_text("\n".join(names[:2]))
    assert "train 4" in (first := told(data, tmp_path / "w")[0]) and "test 2" in first
    (data / "test_list.txt").write_text("\n".join(names))
    with pytest.raises(InputError, match="no pair to train on: all 6 are of the test part"):
        prepare(data, tmp_path / "w")


@pytest.mark.slow
def test_one_polarisation_alone_is_listed(tmp_path: Path) -> None:
    write_sen12ms(tmp_path / "d", 1, scenes=range(6))
    path = next((tmp_path / "d").rglob("*_s1_3_p0.tif"))
    write_image(path, scene(300)[0][:1], corner=(460000.0, 5400000.0))
    assert prepare(tmp_path / "d", tmp_path / "w").pairs == 5
    assert "has 1 bands, not 2" in (tmp_path / "w" / "rejected.csv").read_text()


def test_float16_is_read_and_named(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for number in range(6):
        db, dn = scene(number)
        for folder, values in (("sar", db.transpose(1, 2, 0)), ("opt", dn.transpose(1, 2, 0))):
            (tmp_path / "d" / folder).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "d" / folder / f"{number}.tif"
            half = values.astype(np.float16)
            tifffile.imwrite(path, half, photometric="minisblack", planarconfig="contig")
    lines = told(tmp_path / "d", tmp_path / "w", wanted=Wanted("dB", "DN"))
    for words in ("radar pixels are float16, which rounds dB", "optical pixels are float16"):
        assert any(words in line for line in lines)
    radar, optical = pixels(tmp_path / "w")
    np.testing.assert_allclose(radar, scene(0)[0], atol=0.02)
    np.testing.assert_allclose(optical, scene(0)[1], atol=1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_range_of_16_bits_is_measured(tmp_path: Path, suffix: str) -> None:
    """From the quantiles 0.5 % and 99.5 % of all images, and kept with the pairs."""
    every = []
    for number in range(6):
        db, dn = scene(number)
        shown = np.rint((db[:1] + 40) * 1000).astype(np.uint16)
        write_image(tmp_path / "d" / "sar" / f"{number}{suffix}", shown)
        write_image(tmp_path / "d" / "opt" / f"{number}{suffix}", dn * 10)
        every.append(shown)
    told(tmp_path / "d", tmp_path / "w", wanted=Wanted(ranges={"DN": (0.0, 20000.0)}))
    found = read_units(tmp_path / "w")
    assert found and found["dn_range"] == [0, 20000] and found["vv_range"] == found["vh_range"]
    low, high = found["vv_range"]
    # Each fourth pixel is looked at.
    assert (low, high) == pytest.approx(np.quantile(every, (0.005, 0.995)), rel=0.03)
    radar, optical = pixels(tmp_path / "w")
    share = np.clip((every[0][0] - low) / (high - low), 0, 1)
    np.testing.assert_allclose((radar[0] + 25) / 25, share, atol=1e-5)
    np.testing.assert_allclose(optical, scene(0)[1] * 1.5, atol=0.51)


def test_images_of_several_pixel_types_have_no_range(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "d", 3)
    write_image(data / "trainA" / "1.png", np.full((1, 32, 32), 900, np.uint16))
    with pytest.raises(InputError, match="radar images are of several pixel types: uint16, uint8"):
        prepare(data, tmp_path / "w")


@pytest.mark.slow
@pytest.mark.parametrize("folders", [("s1/", "s2/"), ("s1_{}/", "s2_{}/"), ("", "")])
def test_names_that_say_the_sensor(tmp_path: Path, folders: tuple[str, str]) -> None:
    """As SEN1-2 has them; the patches of one scene, which overlap, are held out together."""
    data = tmp_path / "agri"
    for number in range(6):
        for patch in (30, 31):
            db, dn = scene(10 * number + patch)
            images = {"s1": grey(db[:1], -25, 0), "s2": grey(dn, 0, 3000)}
            for folder, (sensor, image) in zip(folders, images.items(), strict=True):
                name = f"ROIs1868_summer_{sensor}_{number}_p{patch}.png"
                write_image(data / folder.format(number) / name, image)
    lines = told(data, tmp_path / "w")
    assert "source pairs" in lines[0] and "train 12" in lines[0]
    pairs = read_pairs(tmp_path / "w" / "pairs.parquet")
    assert len(pairs) == 12
    splits = {
        lon: {p.split for p in pairs if p.place[0] == lon} for lon in {p.place[0] for p in pairs}
    }
    assert len(splits) == 6 and any("holdout" in each for each in splits.values())
    assert all(each == {"train"} or "train" not in each for each in splits.values())


def test_jpeg_is_read_and_said(tmp_path: Path) -> None:
    for number in range(6):
        smooth = grey(scene(number)[0][:1], -25, 0)
        write_image(tmp_path / "d" / "sar" / f"{number}.jpg", smooth)
        write_image(tmp_path / "d" / "opt" / f"{number}.jpg", smooth.repeat(3, axis=0))
    for units in ("check", "any"):  # what is lost is no question of units
        lines = told(tmp_path / "d", tmp_path / "w", units=units)
        for sensor in ("radar", "optical"):
            assert any(f"{sensor} images are JPEG" in line for line in lines)
    with pytest.raises(InputError, match="JPEG"):
        prepare(tmp_path / "d", tmp_path / "u", units="strict")


def test_what_a_png_says_beside_its_colours(tmp_path: Path) -> None:
    """An alpha band that is opaque everywhere says nothing; a transparent colour is refused."""
    from PIL import Image

    data = write_pictures(tmp_path / "d", 8)
    solid = np.full((1, 32, 32), 255, np.uint8)
    for number in (0, 1):
        db, dn = scene(number)
        write_image(
            data / "trainA" / f"{number}.png", np.concatenate([grey(db[:1], -25, 0), solid])
        )
        write_image(data / "trainB" / f"{number}.png", np.concatenate([grey(dn, 0, 3000), solid]))
    db = grey(scene(2)[0][0], -25, 0)
    Image.fromarray(db).save(data / "trainA" / "2.png", transparency=int(db[3, 3]))
    assert prepare(data, tmp_path / "w").pairs == 7
    assert "2,unreadable" in (tmp_path / "w" / "rejected.csv").read_text()
    write_pictures(tmp_path / "e", 2)
    for path in (tmp_path / "e" / "trainB").iterdir():
        Image.open(path).convert("P").save(path)
    with pytest.raises(InputError, match=r"has a palette: .*\n.*write it as RGB"):
        prepare(tmp_path / "e", tmp_path / "v")


@pytest.mark.slow
def test_tiles_of_several_projections_lie_where_they_say(tmp_path: Path) -> None:
    """At 20 m a pixel: two that overlap across the border of two UTM zones are one ground."""
    from rasterio.transform import from_origin
    from rasterio.warp import transform

    east, north = transform("EPSG:32633", "EPSG:32634", [760000.0], [5400000.0])
    corners = {"EPSG:32633": (760000.0, 5400000.0), "EPSG:32634": (east[0] + 300, north[0])}
    for number, (crs, corner) in enumerate(corners.items()):
        db, dn = scene(number)
        for folder, values in (("sar", db), ("opt", dn)):
            path = tmp_path / "d" / folder / f"{number}.tif"
            write_image(path, values, corner=corner, crs=crs)
            with rasterio.open(path, "r+") as file:
                file.transform = from_origin(*corner, 20, 20)
    for number in range(2, 8):  # far from them
        db, dn = scene(number)
        corner = (300000.0 + 20000 * number, 5200000.0)
        write_image(tmp_path / "d" / "sar" / f"{number}.tif", db, corner=corner)
        write_image(tmp_path / "d" / "opt" / f"{number}.tif", dn, corner=corner)
    prepare(tmp_path / "d", tmp_path / "w", wanted=Wanted("dB", "DN"), holdout=1)
    pairs = read_pairs(tmp_path / "w" / "pairs.parquet")
    assert len(pairs) == 8
    border = [pair for pair in pairs if float(pair.place[0]) > 18]
    assert len(border) == 2 and all(pair.side in range(63, 70) for pair in border)
    assert len({pair.split == "train" for pair in border}) == 1
