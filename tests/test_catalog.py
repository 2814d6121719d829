"""A folder of tiles becomes scenes; what does not fit is listed, not lost."""

from pathlib import Path

import pytest
from made import SHARED, key, optical, radar

from kit.catalog import catalog
from kit.errors import InputError


def test_both_layouts_give_the_same_scenes(tmp_path: Path) -> None:
    radar(tmp_path / "two", key())
    optical(tmp_path / "two", key())
    (tmp_path / "flat").mkdir()
    for path in (tmp_path / "two").rglob("*.tiff"):
        (tmp_path / "flat" / path.name).with_suffix(".tif").write_bytes(path.read_bytes())
    two, flat = catalog(tmp_path / "two"), catalog(tmp_path / "flat")
    assert [(s.sensor, s.key) for s in two.scenes] == [("Sentinel1", key()), ("Sentinel2", key())]
    assert [(s.sensor, s.key) for s in flat.scenes] == [(s.sensor, s.key) for s in two.scenes]
    assert not two.rejected and not flat.rejected


def test_bands_come_in_a_fixed_order(tmp_path: Path) -> None:
    optical(tmp_path, key())
    bands = [path.name.split("_")[1] for path in catalog(tmp_path).scenes[0].paths]
    assert bands == ["B4", "B3", "B2", "QA60"]


def test_a_missing_band_costs_its_scene_alone(tmp_path: Path) -> None:
    radar(tmp_path, key(0), bands=("VV",))
    radar(tmp_path, key(1))
    found = catalog(tmp_path)
    assert [scene.key for scene in found.scenes] == [key(1)]
    assert [(item.name, item.kind, item.reason) for item in found.rejected] == [
        (f"Sentinel1 {key(0)}", "missing band", "no VH")
    ]


def test_names_that_do_not_parse_and_duplicates_are_listed(tmp_path: Path) -> None:
    radar(tmp_path, key())
    (tmp_path / "Sentinel1_VV_nowhere.tiff").touch()
    (tmp_path / "sent1" / f"Sentinel1_VV_{key()}.tif").touch()
    found = catalog(tmp_path)
    assert len(found.scenes) == 1
    assert sorted(item.kind for item in found.rejected) == ["duplicate", "name"]


def test_other_folders_are_left_alone_so_that_no_truth_slips_into_training(tmp_path: Path) -> None:
    radar(tmp_path / "test", key())
    with pytest.raises(InputError, match="sent1/ and sent2/"):
        catalog(tmp_path)


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    radar(tmp_path / "disk", key())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sent1").symlink_to(tmp_path / "disk" / "sent1")
    assert len(catalog(tmp_path / "data").scenes) == 1


def test_unused_bands_and_other_files_are_no_mistake(tmp_path: Path) -> None:
    radar(tmp_path, key())
    (tmp_path / f"Sentinel2_B8A_{key()}.tiff").touch()
    (tmp_path / f"Landsat8_QA_PIXEL_{key()}.tiff").touch()
    (tmp_path / "readme.txt").touch()
    found = catalog(tmp_path)
    assert len(found.scenes) == 1
    assert not found.rejected


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "foreign"])
def test_a_wrong_folder_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "data"
    if kind == "file":
        folder.touch()
    elif kind != "missing":
        folder.mkdir()
    if kind == "foreign":
        (folder / "holiday.tiff").touch()
    with pytest.raises(InputError, match=r"data: .*"):
        catalog(folder)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the official sample in ../shared/data")
def test_the_official_sample() -> None:
    found = catalog(SHARED / "multiearth-sample")
    assert (len(found.of("Sentinel1")), len(found.of("Sentinel2"))) == (4, 13)
    assert not found.rejected
