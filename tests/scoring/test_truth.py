import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.archive.mapping import SarInput, Truth, read_mapping, read_pixels, scene_in
from kit.archive.mapping_writer import write_mapping
from kit.errors import InputError
from kit.pairs.summary import Summary, write_summary
from kit.scoring.truth import OUTSIDE, load_truth
from kit.tiles.names import SceneKey
from tests.helpers.archives import A, B, digital_numbers, write_truth

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "multiearth-sample"
IMAGE = f"CH3/Sentinel2_{A}.tiff"


def at(date: str) -> str:
    """The place of scene A at another date."""
    return f"-54.48_-3.33_{date}"


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        (f"Sentinel2_{A}.tiff", A),
        (f"CH3/Sentinel1_VV_{A}_1.tiff", A),
        (f"{A}", A),
        (f"x{A}.tiff", A),
        ("Sentinel2_0.00_12.50_2020_02_29_12.tiff", "0.00_12.50_2020_02_29"),
        (f"{B}/Sentinel2_{A}.tiff", A),
        (f"{A}/image.tiff", None),
        ("Sentinel2_-54.48_-3.33_2019_02_29.tiff", None),
        ("Sentinel2_-54.48_-3.33_2019_06_081.tiff", None),
        ("a_1.tiff", None),
    ],
)
def test_scene_in_a_name(name: str, scene: str | None) -> None:
    assert scene_in(name) == (SceneKey.parse(scene) if scene else None)


def test_a_folder_gives_the_clear_truths_within_the_window(tmp_path: Path) -> None:
    for seed, date in enumerate(("2019_05_31", "2019_06_01", "2019_06_15", "2019_06_16")):
        write_truth(tmp_path / "deep" / "er", at(date), digital_numbers(seed, size=8))
    found = load_truth(tmp_path, [IMAGE])
    (sar,) = found.inputs
    assert (sar.name, sar.submissions) == (A, (IMAGE,))
    assert [truth.name for truth in sar.truths] == [at("2019_06_01"), at("2019_06_15")]
    assert [path.name.split("_")[1] for path in sar.truths[0].paths] == ["B4", "B3", "B2"]
    assert all(truth.submissions == (IMAGE,) for truth in sar.truths)
    assert len(load_truth(tmp_path, [IMAGE], window_days=8).inputs[0].truths) == 4
    assert found.unscored == ()


def test_truths_with_clouds_or_nodata_are_left_out(tmp_path: Path) -> None:
    clear, zero = digital_numbers(0, size=8), np.zeros((8, 8), np.uint16)
    nodata, cloud, flag = clear.copy(), clear.copy(), zero.copy()
    nodata[:, 0, 0], cloud[:, 0, 0], flag[0, 0] = 0, 5000, 1 << 11
    write_truth(tmp_path, at("2019_06_05"), nodata)
    write_truth(tmp_path, at("2019_06_06"), cloud)
    write_truth(tmp_path, at("2019_06_07"), clear, qa60=flag)
    write_truth(tmp_path, at("2019_06_09"), clear, qa60=zero)
    steps = []
    found = load_truth(tmp_path, [IMAGE], advance=lambda *step: steps.append(step))
    assert [truth.name for truth in found.inputs[0].truths] == [at("2019_06_09")]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.left_out == {"nodata": 1, "cloud by the rule": 1, "QA60": 1}


def prepared(work: Path, **settings: object) -> Path:
    """A work folder whose pairs were prepared with these settings."""
    summary = Summary(0, 0, 0, 0, 0, 0, 0, 0, 0, {}, {}, {})
    write_summary(work / "summary.json", summary, [], Path("DATA"), settings)
    return work


def test_truths_are_clear_by_what_the_pairs_were_prepared_with(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    spot = digital_numbers(0, size=8)
    spot[:, 0, 0] = 5000
    truth = tmp_path / "truth"
    write_truth(truth, A, spot)
    write_truth(truth, at("2019_06_09"), digital_numbers(1, size=8))
    write_truth(truth, at("2019_07_09"), digital_numbers(1, size=8))
    usual = load_truth(truth, [IMAGE], work=work)
    assert usual.left_out == {"cloud by the rule": 1, OUTSIDE: 1} and "default" in usual.clear
    for settings in ({"max_cloud": 1 / 64}, {"min_area": 2}, {"scale": 20000}):
        found = load_truth(truth, [IMAGE], work=prepared(work, **settings))
        assert len(found.inputs[0].truths) == 2, settings
        assert found.left_out == {OUTSIDE: 1} and str(work) in found.clear
    # Of pictures, whose numbers are no DN, the rule says nothing of these tiles.
    pictures = {"units": {"radar": "picture", "optical": "picture"}, "max_cloud": 1.0}
    assert load_truth(truth, [IMAGE], work=prepared(work, **pictures)).left_out == usual.left_out


def test_images_of_one_scene_share_an_input_and_scenes_without_truth_are_named(
    tmp_path: Path,
) -> None:
    write_truth(tmp_path, A, digital_numbers(0, size=8))
    images = [f"CH3/{A}_{i}.tiff" for i in (1, 2, 3)]
    found = load_truth(tmp_path, [*images, f"CH3/{B}.tiff"])
    assert [sar.submissions for sar in found.inputs] == [tuple(images)]
    assert found.unscored == (B,)


def test_the_nearest_truth_is_the_earlier_of_two() -> None:
    def truth(date: str) -> Truth:
        return Truth(at(date), (), ("x",))

    def nearest(*truths: Truth) -> str:
        return SarInput(A, ("x",), truths).nearest("x").name

    early, late = truth("2019_06_06"), truth("2019_06_10")
    assert nearest(late, early) == nearest(early, late) == early.name
    assert nearest(early, truth("2019_06_09")) == at("2019_06_09")
    assert nearest(Truth("undated", (), ("x",)), Truth("too", (), ("x",))) == "undated"
    assert nearest(Truth(A, (), ("another",)), late) == late.name


@pytest.mark.parametrize(
    ("scene", "days", "problem"),
    [
        (B, 7, f"holds other places: -54.48_-3.33 is predicted, {B[:12]} is true"),
        (at("2019_08_01"), 7, f"no truth within 7 days: {A} is predicted"),
        (at("2019_06_09"), 0, "no truth within 0 days"),
    ],
)
def test_a_folder_without_any_truth_of_the_predictions(
    tmp_path: Path, scene: str, days: int, problem: str
) -> None:
    write_truth(tmp_path, scene, digital_numbers(0, size=8))
    with pytest.raises(InputError, match=problem) as raised:
        load_truth(tmp_path, [IMAGE], window_days=days)
    assert raised.value.exit_code == 3


def test_a_folder_of_clouds(tmp_path: Path) -> None:
    write_truth(tmp_path, A, np.full((3, 8, 8), 6000, np.uint16) + digital_numbers(0, size=8))
    with pytest.raises(InputError, match="is left out: 1 cloud by the rule"):
        load_truth(tmp_path, [IMAGE])


def test_a_folder_without_whole_scenes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scene"):
        load_truth(tmp_path, [IMAGE])
    write_truth(tmp_path, A, digital_numbers(0, size=8))
    next(tmp_path.glob("*_B3_*")).unlink()
    (tmp_path / "Sentinel2_notes.tiff").write_text("not a tile")
    with pytest.raises(InputError, match="holds no scene"):
        load_truth(tmp_path, [IMAGE])


def test_a_damaged_tile_and_a_name_without_a_scene(tmp_path: Path) -> None:
    write_truth(tmp_path, A, digital_numbers(0, size=8))
    with pytest.raises(InputError, match="has no place and date in its name"):
        load_truth(tmp_path, ["CH3/a_1.tiff"])
    tile = next(tmp_path.glob("*_B3_*"))
    tile.write_bytes(tile.read_bytes()[:100])
    with pytest.raises(InputError, match="_B3_"):
        load_truth(tmp_path, [IMAGE])


def test_the_mapping_of_2022(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    for name in ("one", "two"):
        (tmp_path / "truth" / f"{name}.tiff").touch()
    mapping = {
        f"Sentinel1_VV_{A}.tiff": {
            "truth/one.tiff": ["/CH3/a.tiff", "/CH3/b.tiff"],
            "/truth/two.tiff": ["CH3/b.tiff"],
        }
    }
    path = write_json(tmp_path / "mappings.json", mapping)
    found = load_truth(path, ["CH3/a.tiff", "CH3/b.tiff", "CH3/c.tiff"])
    (sar,) = found.inputs
    assert sar.submissions == ("CH3/a.tiff", "CH3/b.tiff")
    assert [truth.submissions for truth in sar.truths] == [sar.submissions, ("CH3/b.tiff",)]
    assert sar.truths[1].paths == (tmp_path / "truth" / "two.tiff",)
    assert sar.nearest("CH3/a.tiff").name == "truth/one.tiff"
    assert found.unscored == ("CH3/c.tiff",)


def test_the_mapping_of_2023(tmp_path: Path) -> None:
    write_truth(tmp_path / "sent2", A, digital_numbers(0, size=8))
    names = [f"Sentinel2_{A}_{i}.tiff" for i in (1, 2)]
    path = write_json(tmp_path / "files.json", {str(names): [f"sent2/Sentinel2_{A}.tiff"]})
    entries = tuple(f"translation/{name}" for name in names)
    (sar,) = load_truth(path, entries).inputs
    assert sar.submissions == entries
    assert sar.truths[0].submissions == entries
    assert [path.name for path in sar.truths[0].paths] == [
        f"Sentinel2_{band}_{A}.tiff" for band in ("B4", "B3", "B2")
    ]
    assert read_mapping(path)[0].submissions == tuple(names)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"a": 1}',
        '{"a": {}}',
        '{"a": {"t.tiff": "s.tiff"}}',
        '{"a": {"t.tiff": [1]}}',
        '{"a": {"t.tiff": []}}',
        '{"a": {"t.tiff": ["s"]}, "b": ["s"]}',
        "{\"['s.tiff']\": []}",
        '{"[\'s.tiff\']": ["Landsat8_x.tiff"]}',
        '{"not a list": ["Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}',
        '{"{}": ["Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}',
        json.dumps({"[" * 100_000: ["Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}),
        json.dumps({"['s.tiff'" + " " * 100_000: ["Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}),
        json.dumps({"-" * 100_000 + "1": ["Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}),
        "[" * 100_000,
        '{"a": ' * 100_000,
        "9" * 5000,
        json.dumps({"a": {"../t.tiff": ["s.tiff"]}}),
        json.dumps({"a": {"//etc/t.tiff": ["s.tiff"]}}),
        json.dumps({"a": {"t\0.tiff": ["s.tiff"]}}),
        json.dumps({"a": {"t.tiff": ["../s.tiff"]}}),
        json.dumps({"a\x1b[2J": {"t.tiff": ["s.tiff"]}}),
        json.dumps({"\ud800": {"t.tiff": ["s.tiff"]}}),
        json.dumps({"a": {"t.tiff": ["s"] * 300_001}}),
        json.dumps({"['s.tiff']": ["../Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}),
        json.dumps({"['s.tiff']": ["//x/Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}),
        json.dumps({"['../s.tiff']": ["Sentinel2_-54.48_-3.33_2019_06_08.tiff"]}),
    ],
)
def test_other_shapes_of_json_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        load_truth(path, [IMAGE])
    assert raised.value.where == str(path)
    assert len(str(raised.value)) < 500 and str(raised.value).encode()


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("['a.tiff']", ["a.tiff"]),
        ("['a.tiff', 'b.tiff']", ["a.tiff", "b.tiff"]),
        ("['a.tiff','b.tiff']", ["a.tiff", "b.tiff"]),
        ("[\"it's.tiff\", 'b.tiff']", ["it's.tiff", "b.tiff"]),
        (str([f"{i}.tiff" for i in range(20_000)]), [f"{i}.tiff" for i in range(20_000)]),
        ("['a.tiff' 'b.tiff']", None),
        ("['a.tiff'] + ['b.tiff']", None),
        ("['a.tiff'", None),
        ("['a.tiff', b]", None),
        ("['a\\x2e.tiff']", None),
        ("[f'{1}.tiff', __import__('os').getcwd()]", None),
        ("('a.tiff',)", None),
        ("[]", None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_lists_written_as_text(tmp_path: Path, key: str, names: list[str] | None) -> None:
    path = write_json(tmp_path / "files.json", {key: [f"/Sentinel2_{A}.tiff"]})
    if names is None:
        with pytest.raises(InputError, match="no list of names at"):
            read_mapping(path)
        return
    (sar,) = read_mapping(path)
    assert sar.submissions == tuple(names)
    assert {tile.parent for tile in sar.truths[0].paths} == {tmp_path}


def test_a_mapping_that_is_no_file_of_some_megabytes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        read_mapping(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b" " * (17 << 20))
    with pytest.raises(InputError, match="has 17,825,792 bytes"):
        read_mapping(tmp_path / "large")


def test_a_key_of_the_mapping_is_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    key = f"[open({str(canary)!r}, 'w').name]"
    path = write_json(tmp_path / "files.json", {key: [f"Sentinel2_{A}.tiff"]})
    with pytest.raises(InputError):
        load_truth(path, [IMAGE])
    assert not canary.exists()


def test_a_mapping_that_lists_what_is_not_there(tmp_path: Path) -> None:
    path = write_json(tmp_path / "mapping.json", {"sar": {"truth.tiff": [IMAGE, "CH3/x.tiff"]}})
    with pytest.raises(InputError, match=r"lacks 1 of its 2 images, CH3/x\.tiff"):
        load_truth(path, [IMAGE])
    with pytest.raises(InputError, match="no such truth") as raised:
        load_truth(path, [IMAGE, "CH3/x.tiff"])
    assert raised.value.where == str(tmp_path / "truth.tiff")
    with pytest.raises(InputError, match="no such file"):
        load_truth(tmp_path / "nowhere", [IMAGE])


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the official sample tiles in ../shared")
def test_official_tiles(tmp_path: Path) -> None:
    dates = ("2019_06_08", "2019_07_02")
    images = [f"CH3/Sentinel2_-55.20_-4.39_{date}.tiff" for date in dates]
    found = load_truth(SAMPLE / "sent2", images)
    # 2019-06-06 and 06-11 are cloudy though their QA60 is 0; 07-01 is clear.
    assert [sar.name for sar in found.inputs] == ["-55.20_-4.39_2019_07_02"]
    assert [truth.name for truth in found.inputs[0].truths] == ["-55.20_-4.39_2019_07_01"]
    shutil.copytree(SAMPLE / "sent2", tmp_path / "copy", ignore=shutil.ignore_patterns("*QA60*"))
    assert [t.name for t in load_truth(tmp_path / "copy", images).inputs[0].truths] == [
        "-55.20_-4.39_2019_07_01"
    ]


def write_netcdf(path: Path, scenes: dict[str, NDArray[np.uint16]]) -> Path:
    """Write scenes [B4, B3, B2] as the 2023 edition does: bands in the order of their names."""
    xr = pytest.importorskip("xarray", reason="needs xarray: pip install xarray h5netcdf h5py")
    keys = [SceneKey.parse(scene) for scene in scenes]
    first = min(key.date for key in keys)
    dims = ("index", "data_band", "channel", "row", "col")
    data = xr.Dataset(
        {
            "images": (dims, np.stack([dn[::-1, None] for dn in scenes.values()])),
            "collection_dates": (
                "index", [(key.date - first).days for key in keys], {"units": f"days since {first}"}
            ),
            "center_lat_lons": (
                ("index", "geo_coord"), [[float(key.lat), float(key.lon)] for key in keys]
            ),
        },
        coords={"data_band": ["B2", "B3", "B4"]},
        attrs={"data_source": "Sentinel-2"},
    )  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    data.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.usefixtures("trusted_netcdf")
def test_tiles_in_a_netcdf_file_are_the_truths_that_they_are_as_tiffs(tmp_path: Path) -> None:
    scenes = {at("2019_06_01"): 0, at("2019_06_15"): 1, at("2019_08_01"): 2, B: 3}
    pixels = {scene: digital_numbers(seed, size=8) for scene, seed in scenes.items()}
    pixels[at("2019_06_02")] = np.full((3, 8, 8), 6000, np.uint16)
    for scene, dn in pixels.items():
        write_truth(tmp_path / "tiffs", scene, dn)
    file = write_netcdf(tmp_path / "nc" / "sent2.nc", pixels)
    images = [IMAGE, f"CH3/{B}.tiff"]
    expected = load_truth(tmp_path / "tiffs", images)
    assert [len(sar.truths) for sar in expected.inputs] == [2, 1]
    for source in (file, file.parent):
        found = load_truth(source, images)
        for sar, other in zip(found.inputs, expected.inputs, strict=True):
            assert (sar.name, sar.submissions) == (other.name, other.submissions)
            for truth, same in zip(sar.truths, other.truths, strict=True):
                assert truth.name == same.name
                np.testing.assert_array_equal(read_pixels(truth), read_pixels(same))
    written = write_mapping(
        load_truth(file, images).inputs, tmp_path / "out" / "files.json", "2023"
    )
    assert len(load_truth(written, images).inputs) == 2


@pytest.mark.usefixtures("trusted_netcdf")
def test_a_netcdf_file_that_is_no_truth(tmp_path: Path) -> None:
    file = write_netcdf(tmp_path / "a.nc", {B: digital_numbers(0, size=8)})
    with pytest.raises(InputError, match="holds other places"):
        load_truth(file, [IMAGE])
    file.write_bytes(file.read_bytes()[:1000])
    for source in (file, tmp_path):
        with pytest.raises(InputError, match="not readable as NetCDF") as raised:
            load_truth(source, [IMAGE])
        assert raised.value.where == str(file)
    with pytest.raises(InputError, match="cannot be opened"):
        load_truth(tmp_path / "none.nc", [IMAGE])


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the official sample tiles in ../shared")
@pytest.mark.usefixtures("trusted_netcdf")
def test_the_official_netcdf_file_gives_the_truths_of_the_tiles() -> None:
    pytest.importorskip("h5netcdf", reason="needs h5netcdf: pip install h5netcdf")
    images = [f"CH3/Sentinel2_-55.20_-4.39_{date}.tiff" for date in ("2019_06_08", "2019_07_02")]
    (sar,) = load_truth(SAMPLE / "netcdf" / "sent2_sample.nc", images).inputs
    (other,) = load_truth(SAMPLE / "sent2", images).inputs
    assert [truth.name for truth in sar.truths] == [truth.name for truth in other.truths]
    for truth, same in zip(sar.truths, other.truths, strict=True):
        np.testing.assert_array_equal(read_pixels(truth), read_pixels(same))


def test_folders_that_are_linked_are_searched_once(tmp_path: Path) -> None:
    for seed, date in enumerate(("2019_06_01", "2019_06_15")):
        write_truth(tmp_path / "disk" / date, at(date), digital_numbers(seed, size=8))
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "sent2").symlink_to(tmp_path / "disk")
    (truth / "again").symlink_to(tmp_path / "disk" / "2019_06_01")
    (tmp_path / "disk" / "loop").symlink_to(truth)
    found = load_truth(truth, [IMAGE])
    assert [each.name for each in found.inputs[0].truths] == [at("2019_06_01"), at("2019_06_15")]
