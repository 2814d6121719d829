"""What is shown of a place, a scene and a pair, and the GeoTIFFs that place it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from kit.averaging import average
from kit.engines.request import Request
from kit.errors import InputError
from kit.ground import DEGREES_PER_PIXEL
from kit.pairs.pack import pack
from kit.pairs.prepare import prepare
from kit.pairs.table import holdout_pairs, read_pairs
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.prediction.predict import predict
from kit.runs.heldout import HELDOUT
from kit.runs.weights import read_run, save_weights
from kit.screening.rule import CloudRule
from kit.showing.picture import images
from kit.showing.show import show
from kit.showing.stored import SEEN
from kit.showing.subject import Subject
from kit.showing.view import Prediction
from kit.storage.image_file import image_path
from kit.tiles.bands import read_stored
from kit.tiles.names import BANDS, SceneKey
from kit.tiles.tiff import encode_tiff
from kit.training.heldout import heldout
from tests.helpers.tiles import SHARED, key, optical, radar, world


def tiles(folder: str, sensor: str, scene: SceneKey) -> np.ndarray:
    sub = {"Sentinel1": "sent1", "Sentinel2": "sent2"}[sensor]
    return read_stored(
        sensor, [Path(folder, sub, f"{sensor}_{band}_{scene}.tiff") for band in BANDS[sensor]]
    )


@pytest.mark.parametrize(
    ("text", "place", "date"),
    [
        ("-54.48_-3.33", ("-54.48", "-3.33"), None),
        ("54.48_3.30_2020_07_14", ("54.48", "3.30"), "2020-07-14"),
        ("b_1.00_2.00/Sentinel1_VV_-54.48_-3.3_2020_07_14.tiff", ("-54.48", "-3.3"), "2020-07-14"),
        ("predictions/spade2/-54.48_-3.33_2020_07_14.npy", ("-54.48", "-3.33"), "2020-07-14"),
        ("train.nc::Sentinel1_VV_-54.48_-3.33_2020_07_14::3", ("-54.48", "-3.33"), "2020-07-14"),
        ("CH3/Sentinel2_-54.48_-3.33_2020_07_14_1.tiff", ("-54.48", "-3.33"), "2020-07-14"),
    ],
)  # fmt: skip
def test_a_subject_is_read_from_names(text: str, place: tuple[str, str], date: str | None) -> None:
    found = Subject.parse(text)
    assert found.place == place
    assert (found.scene.date.isoformat() if found.scene else None) == date


@pytest.mark.parametrize("text", ["", "spade2", "-54.48", "-54_-3", "1.0_2.0_2020_13_01"])
def test_what_names_no_scene_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Subject.parse(text)


def test_a_pair_is_named_by_either_of_its_scenes(trained: Path) -> None:
    (pair,) = [p for p in read_pairs(Path("work/pairs.parquet")) if p.optical == key(0, 2)]
    for name in (str(pair.radar), str(pair.optical)):
        (view,) = show([name]).views
        assert view.pair == pair and view.radar and view.optical
        np.testing.assert_array_equal(view.radar.values, tiles("data", "Sentinel1", pair.radar))
        np.testing.assert_array_equal(view.optical.values, tiles("data", "Sentinel2", pair.optical))
        assert not view.predictions
    assert len(show(["_".join(pair.place)]).views) == 1


def test_masks_are_what_screening_counts(tmp_path: Path) -> None:
    data, work = tmp_path / "data", tmp_path / "work"
    for place in range(4):
        radar(data, key(place))
        optical(data, key(place), cloud=(0, 8, 0, 0)[place], qa60=(0, 0, 4, 0)[place])
    optical(data, key(3), nodata=2)
    prepare(data, work, rule=CloudRule(threshold=0.3), holdout=0)
    shares = {}
    for view in show([str(key(place)) for place in range(4)], work=work).views:
        assert view.pair and view.rule.threshold == 0.3
        masks = {name: float(mask.mean()) for name, mask in view.masks().items()}
        said = {"nodata": view.pair.nodata, "QA60": view.pair.qa60, "cloud": view.pair.cloud}
        assert masks == said
        shares[view.place] = masks
    assert [shares[key(n).lon, key(n).lat]["cloud"] for n in range(4)] == [0, 0.25, 0, 0]


@pytest.mark.slow
def test_predictions_of_a_test_scene_have_errors_where_there_is_a_truth(trained: Path) -> None:
    predict("spade2,p2phd1", "test", request=Request("eager", "float32"))
    (view,) = show([str(key(40))]).views
    assert [each.name for each in view.predictions] == ["p2phd1", "spade2", "spade2-p2phd1"]
    assert view.radar and not view.optical and view.errors(view.predictions[0]) == {}
    shown = show([str(key(40))], truth="truth", predict=["spade4"], output="out.png")
    (view,) = shown.views
    assert view.optical and view.optical.key == key(40, 1)
    errors = {each.name: view.errors(each) for each in view.predictions}
    assert set(errors) == {"p2phd1", "spade2", "spade2-p2phd1", "spade4"}
    stored = np.load(image_path(Path("predictions/spade2"), key(40))) / 65535
    truth = np.clip(tiles("truth", "Sentinel2", key(40, 1))[:3] / 3000, 0, 1)
    assert errors["spade2"]["mae"] == pytest.approx(np.abs(stored - truth).mean(), abs=1e-6)
    assert Image.open("out.png").size[0] > 1000


def test_the_ensemble_that_was_predicted_last_is_shown(trained: Path) -> None:
    eager, members = Request("eager", "float32"), ("p2phd1", "spade2")
    affine = Affine(((65_536, 65_536, 0), (32_768, 32_768, 9), (65_536, 0, 0)))
    made = Combination((3, 1), affine, "anchors")
    about = Fitted("greedy", 0.03, (0.02, 0.04), {}, scenes=9, pairs_sha256="p", weights={})
    fitted = Ensemble("best", members, made, "official_2022", "reflectance", about)
    write_ensemble(Path("ensembles"), fitted)
    predict("p2phd1,spade2", "test", request=eager)
    scene = [str(key(40))]
    by = {each.name: each for each in show(scene).views[0].predictions}
    own = [by[name].image for name in members]
    assert (by.pop("p2phd1-spade2").image == average(own)).all()
    predict("best", "test", request=eager)
    by = {each.name: each for each in show(scene).views[0].predictions}
    best = by["best"]
    assert (best.image == made.apply(own)).all()
    assert best.target == "minmax" and best.origin == "ensembles/best.json"
    Path("ensembles/best.json").write_text("{}")
    told: list[str] = []
    (view,) = show(scene, report=told.append).views
    assert "best" not in {each.name for each in view.predictions}
    assert len(told) == 1 and "best.json" in told[0]
    predict("spade2", "test", request=eager)
    (view,) = show(scene).views
    assert [each.name for each in view.predictions] == [*members]


def test_what_predicts_now_predicts_what_is_stored(trained: Path) -> None:
    predict("spade2", "test", request=Request("eager", "float32"))
    (stored,) = show([str(key(40))]).views[0].predictions
    (now,) = show([str(key(40))], predict=["spade2"]).views[0].predictions
    assert np.abs(now.image.astype(int) - stored.image.astype(int)).max() <= 1
    assert stored.origin.endswith(f"{key(40)}.npy") and now.origin.endswith("weights.safetensors")


@pytest.mark.parametrize("scene", ["of the test part", "of a pair"])
def test_weights_of_other_units_are_told(trained: Path, scene: str) -> None:
    weights = read_run(Path("runs"), "spade2")
    facts = {**weights.facts, "units": {"radar": "dB", "optical": "DN", "vv_range": [-30.0, 5.0]}}
    save_weights(weights.path, weights.generator, weights.variant, facts)
    pair = holdout_pairs(read_pairs(Path("work/pairs.parquet")))[0]
    name = str(key(40)) if scene == "of the test part" else str(pair.optical)
    told: list[str] = []
    show([name], predict=["spade2"], input=Path("test"), report=told.append)
    assert any("vv range -30..5" in line for line in told), told


def test_held_out_predictions_are_shown_and_training_is_told(trained: Path) -> None:
    pairs = read_pairs(Path("work/pairs.parquet"))
    held = holdout_pairs(pairs)[0]
    heldout(Path("runs"), "spade2", Path("work"))
    (view,) = show([str(held.optical)]).views
    (found,) = view.predictions
    assert found.name == "spade2" and found.doubt == "" and HELDOUT in found.origin
    trained_on = next(pair for pair in pairs if pair.split == "train")
    (seen,) = show([str(trained_on.optical)], predict=["spade2"]).views[0].predictions
    assert seen.doubt == SEEN
    (unseen,) = show([str(held.optical)], predict=["spade2"]).views[0].predictions
    assert unseen.doubt == "" and np.abs(unseen.image.astype(int) - found.image).max() <= 1


def test_a_damaged_prediction_is_told_and_left_out(trained: Path) -> None:
    predict("spade2,p2phd1", "test", request=Request("eager", "float32"))
    path = image_path(Path("predictions/spade2"), key(40))
    np.save(path, np.zeros((3, 32, 32), np.uint16))
    told: list[str] = []
    (view,) = show([str(key(40))], report=told.append).views
    assert [each.name for each in view.predictions] == ["p2phd1"]
    assert any("damaged" in line and path.name in line for line in told)


def test_what_was_left_out_says_why_and_what_is_unknown_names_the_closest(trained: Path) -> None:
    radar(Path("data"), key(50))
    optical(Path("data"), key(50, 2), bands=("B4", "B3", "QA60"))
    prepare("data", "work")
    with pytest.raises(InputError, match=r"was left out: missing band \(no B2\)"):
        show([str(key(50, 2))])
    with pytest.raises(InputError, match=f"the nearest are {key(1, 2)}, "):
        show([str(key(1, 3))])
    with pytest.raises(InputError, match=r"no such place(.|\n)*--input TEST"):
        show(["-1.00_-1.00"])


def test_a_tile_that_is_gone_is_told_and_the_other_scene_is_shown(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=4, dates=1), tmp_path / "work"
    prepare(data, work, holdout=0)
    (data / "sent2" / f"Sentinel2_B3_{key(0, 2)}.tiff").unlink()
    told: list[str] = []
    (view,) = show([str(key(0))], work=work, report=told.append).views
    assert view.radar and view.optical is None and "B3" in told[0]
    (data / "sent1" / f"Sentinel1_VV_{key(0)}.tiff").unlink()
    with pytest.raises(InputError, match="none of its tiles can be read"):
        show([str(key(0))], work=work)


def test_a_pair_whose_tiles_are_gone_comes_from_the_pack(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=4, dates=1), tmp_path / "work"
    prepare(data, work, holdout=0)
    (before,) = show([str(key(0))], work=work).views
    pack(work)
    shutil.rmtree(data)
    (view,) = show([str(key(0))], work=work).views
    assert view.radar and view.optical and before.radar and before.optical
    np.testing.assert_array_equal(view.radar.values, before.radar.values)
    np.testing.assert_array_equal(view.optical.values, before.optical.values[:3])


def test_geotiffs_hold_the_values_of_the_tiles_around_the_name(trained: Path) -> None:
    predict("spade2", "test", request=Request("eager", "float32"))
    shown = show([str(key(40)), str(key(0))], truth="truth", geotiff="qgis")
    names = {path.name: path for path in shown.files}
    assert set(names) == {
        f"sentinel1_{key(40)}.tiff", f"sentinel2_{key(40, 1)}.tiff", f"masks_{key(40, 1)}.tiff",
        f"spade2_{key(40)}.tiff",
        f"sentinel1_{key(0)}.tiff", f"sentinel2_{key(0, 2)}.tiff", f"masks_{key(0, 2)}.tiff",
    }  # fmt: skip
    for path in names.values():
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == 4326 and file.transform.e == -file.transform.a
            place = key(0) if str(key(0)) in path.name or str(key(0, 2)) in path.name else key(40)
            assert file.lnglat() == pytest.approx((float(place.lon), float(place.lat)))
            assert file.bounds.right - file.bounds.left == pytest.approx(32 * DEGREES_PER_PIXEL)
            assert file.tags()["unit"]
    for folder, sensor, scene in (
        ("test", "Sentinel1", key(40)), ("truth", "Sentinel2", key(40, 1)),
        ("data", "Sentinel1", key(0)), ("data", "Sentinel2", key(0, 2)),
    ):  # fmt: skip
        with rasterio.open(names[f"{sensor.lower()}_{scene}.tiff"]) as file:
            wanted = tiles(folder, sensor, scene)[: file.count]
            np.testing.assert_array_equal(file.read(), wanted)
            assert file.descriptions == BANDS[sensor][: file.count]
    with rasterio.open(names[f"spade2_{key(40)}.tiff"]) as file:
        stored = np.load(image_path(Path("predictions/spade2"), key(40)))
        np.testing.assert_allclose(file.read(), stored / 65535 * 3000, atol=1e-3)
        assert [color.name for color in file.colorinterp] == ["red", "green", "blue"]


def test_a_tile_that_says_where_it_lies_keeps_its_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    radar(data, key(0))
    transform = rasterio.Affine(10, 0, 600_000, 0, -10, 9_600_000)
    for path in (data / "sent1").iterdir():
        with rasterio.open(path) as tile:
            pixels = tile.read()
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=32, width=32, dtype="float32",
            crs="EPSG:32721", transform=transform,
        ) as tile:  # fmt: skip
            tile.write(pixels)
    shown = show([str(key(0))], work=tmp_path, input=data, geotiff=tmp_path / "qgis")
    with rasterio.open(shown.files[0]) as file:
        assert file.crs.to_epsg() == 32721 and file.transform == transform
        assert "declares" in file.tags()["placed"]


def test_official_tiles_that_overlap_agree_where_they_are_placed(tmp_path: Path) -> None:
    """To a pixel: where they register best, of all shifts by up to three."""
    sample = SHARED / "multiearth-sample"
    if not sample.exists():
        pytest.skip("needs the official sample tiles")
    names = ["-54.92_-4.25_2020_07_05", "-54.94_-4.27_2020_07_05"]
    shown = show(names, work=tmp_path, input=sample, geotiff=tmp_path)
    found = [path for path in shown.files if path.name.startswith("sentinel2")]
    with rasterio.open(found[0]) as one, rasterio.open(found[1]) as other:
        row, column = other.index(one.transform.c + 1e-9, one.transform.f - 1e-9)
        first, second = one.read(1).astype(float), other.read(1).astype(float)
    best, second_best, *_ = sorted(
        (np.abs(first[-r:, : 256 - c] - second[: 256 + r, c:]).mean(), r - row, c - column)
        for r in range(row - 3, row + 4)
        for c in range(column - 3, column + 4)
    )
    assert best[0] < second_best[0] / 3 and max(abs(best[1]), abs(best[2])) <= 1


def test_a_picture_of_nodata_alone_is_drawn(tmp_path: Path) -> None:
    data = tmp_path / "data"
    radar(data, key(0))
    optical(data, key(0), nodata=32)
    for path in (data / "sent1").iterdir():
        path.write_bytes(encode_tiff(np.full((1, 32, 32), np.nan, np.float32)))
    shown = show([str(key(0))], work=tmp_path, input=data, output=tmp_path / "out.png")
    bands = [band for view in shown.views for band in view.as_dict()["bands"]]
    assert len(bands) == 5 and all(band["median"] is None for band in bands)


def test_a_scene_that_is_named_twice_is_shown_once(tmp_path: Path) -> None:
    radar(tmp_path / "data", key(0))
    optical(tmp_path / "truth", key(0, 1))
    asked = ["_".join((key(0).lon, key(0).lat)), str(key(0))]
    folders = {"work": tmp_path, "input": tmp_path / "data"}
    assert len(show(asked, **folders).views) == 1
    (view,) = show(asked, truth=tmp_path / "truth", **folders).views
    assert view.radar and view.optical


def test_predictions_of_one_name_are_in_one_column(tmp_path: Path) -> None:
    for place in (0, 1):
        radar(tmp_path / "data", key(place))
    asked = [str(key(place)) for place in (0, 1)]
    views = show(asked, work=tmp_path, input=tmp_path / "data").views
    blank = np.zeros((3, 32, 32), np.uint16)
    one, other = (Prediction(name, blank, "reflectance", "") for name in ("unet2", "trees1"))
    made = ((one,), (other, one))
    rows = images([replace(view, predictions=p) for view, p in zip(views, made, strict=True)])
    titles = [[panel and panel.title for panel in row[-2:]] for row in rows]
    assert titles == [["unet2", None], ["unet2", "trees1"]]


def test_a_prediction_of_another_size_than_the_truth_is_refused(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=4, dates=1), tmp_path / "work"
    prepare(data, work, holdout=0)
    (view,) = show([str(key(0))], work=work).views
    small = Prediction("unet2", np.zeros((3, 16, 16), np.uint16), "reflectance", "unet2.npy")
    with pytest.raises(InputError, match=r"unet2\.npy: is \[3, 16, 16\].* scene is 32x32"):
        images([replace(view, predictions=(small,))])


def test_a_scene_without_a_partner_says_why(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=4, dates=1), tmp_path / "work"
    optical(data, key(0, 40))
    prepare(data, work, holdout=0)
    (view,) = show([str(key(0, 40))], work=work).views
    assert view.pair is None and "no radar in the window (the nearest" in view.standing
