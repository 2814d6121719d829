"""Radar images of other layouts are predicted as they lie, in the units of the weights."""

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.engines.compile import Built, compile
from kit.engines.request import Request
from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.pairs.summary import read_units
from kit.prediction.predict import Prediction, predict
from kit.runs.weights import save_weights
from kit.sources.count import measure_radar
from kit.sources.radar import RadarImages, find_radar_images
from kit.tiles.catalog import catalog
from kit.tiles.reader import read_scene
from kit.variants.registry import find_variant
from tests.helpers.folders import copy_of
from tests.helpers.generators import NETWORKS, trained_like
from tests.helpers.sources import grey, scene, write_image, write_sen12ms

PICTURES = {
    "radar": "picture", "optical": "picture",
    "vv_range": [0.0, 255.0], "vh_range": [0.0, 255.0], "dn_range": [0.0, 255.0],
}  # fmt: skip


def found(data: Path, trained: dict[str, Any] | None = None, **options: Any) -> RadarImages:
    images = find_radar_images(data, Path("work"), trained, **options)
    assert images
    return images


def converted(images: RadarImages) -> dict[str, Any]:
    """dB of each scene by the name of its image."""
    assert images.convert() == []
    rows = [*csv.DictReader((images.folder / "index.csv").open())]
    radar = [row for row in rows if row["sensor"] == "Sentinel1"]
    file_of = {row["scene"]: Path(row["file"]).name for row in radar}
    scenes = catalog(images.tiles.resolve()).of("Sentinel1")
    return {file_of[str(each.key)]: read_scene("Sentinel1", each.files) for each in scenes}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_test_part_of_a_data_set(pictures: Path, here: Path) -> None:
    images = found(pictures, PICTURES)
    assert {*converted(images)} == {"12.png", "13.png"}
    assert "only the test part is predicted, and not the 12 others" in images.lines
    assert measure_radar(pictures) == (2, 32, 32)


@pytest.mark.parametrize("alone", [True, False])
def test_a_folder_of_radar_images_alone(pictures: Path, here: Path, alone: bool) -> None:
    """Its own name says what it is; without one part of a split all images count."""
    if alone:
        shutil.copytree(pictures / "trainA", "trainA")
    images = found(Path("trainA") if alone else pictures / "trainA", PICTURES)
    shown = converted(images)
    assert len(shown) == 12
    expected = grey(scene(3)[0][:1], -25, 0)[0] / 255 * 25 - 25
    np.testing.assert_allclose(shown["3.png"][0], expected, atol=1e-5)


def test_one_scene_of_sen12ms(sen12ms: Path, here: Path) -> None:
    (folder,) = sen12ms.rglob("s1_3")
    shown = converted(found(folder))
    assert {*shown} == {f"ROIs1158_spring_s1_3_p{patch}.tif" for patch in (0, 1)}
    np.testing.assert_array_equal(shown["ROIs1158_spring_s1_3_p0.tif"], scene(300)[0])


def test_places_are_not_those_of_training(pictures: Path, here: Path) -> None:
    prepare(pictures, "work")
    trained = {each.key.lat for each in catalog(Path("work/tiles/train")).of("Sentinel1")}
    images = found(pictures / "trainA", PICTURES)
    images.convert()
    assert not trained & {each.key.lat for each in catalog(images.tiles).of("Sentinel1")}


def test_ranges_are_those_of_the_weights(here: Path) -> None:
    """They were measured on what was trained on, and not again on what is predicted."""
    for number in range(4):
        db = scene(number)[0]
        write_image(Path("sar") / f"{number}.tif", np.rint((db + 40) * 1000).astype(np.uint16))
    trained = PICTURES | {"vv_range": [0.0, 40000.0], "vh_range": [10000.0, 30000.0]}
    shown = converted(found(Path("sar"), trained))["2.tif"]
    db = np.rint((scene(2)[0] + 40) * 1000)
    np.testing.assert_allclose((shown[0] + 25) / 25, db[0] / 40000, atol=1e-5)
    np.testing.assert_allclose((shown[1] + 32.5) / 32.5, (db[1] - 10000) / 20000, atol=1e-5)
    with pytest.raises(InputError, match=r"100% of the VV values lie outside 0\.\.255"):
        found(Path("sar"), PICTURES)


def test_linear_power_becomes_what_was_trained_on(here: Path) -> None:
    data = write_sen12ms(Path("d"), 1)
    for path in data.rglob("*_s1_*.tif"):
        write_image(path, 10 ** (scene(100)[0] / 10))
    with pytest.raises(InputError, match="--radar-unit power"):
        found(data)
    shown = converted(found(data, unit="power"))
    np.testing.assert_allclose(shown["ROIs1158_spring_s1_1_p0.tif"], scene(100)[0], atol=1e-4)


def test_what_is_no_radar_is_named(pictures: Path, sen12ms: Path, here: Path) -> None:
    shutil.copytree(pictures / "testB", "testB")
    with pytest.raises(InputError, match=r"holds optical images, such as 12\.png"):
        found(Path("testB"), PICTURES)
    shutil.copytree(pictures / "testA", "mine")
    with pytest.raises(InputError, match=r"none of its 2 images, such as 12\.png, is named"):
        found(Path("mine"), PICTURES)
    shutil.copytree(pictures / "testB", "radar")
    with pytest.raises(InputError, match=r"12\.png: has 3 bands that differ, which no radar"):
        found(Path("radar"), PICTURES)
    with pytest.raises(InputError, match=r"none of its 2 files, such as 12\.png, fits"):
        found(Path("testB"), source="sen12ms")
    shutil.copytree(pictures, "both/one")
    shutil.copytree(sen12ms, "both/two")
    with pytest.raises(InputError, match="files of sen12ms and of pairs"):
        found(Path("both"))


@pytest.fixture(scope="module")
def runs_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that were trained on pictures of 8 bits."""
    root = tmp_path_factory.mktemp("radar")
    variant, settings = NETWORKS["spade"]
    chosen = find_variant(variant, (*settings, "width=4", "spectral_norm=torch"))
    path = root / "runs" / variant / "weights.safetensors"
    path.parent.mkdir(parents=True)
    facts = {"mean_color": [0.2, 0.3, 0.1], "units": PICTURES}
    save_weights(path, trained_like("spade"), chosen, facts)
    return root


@pytest.fixture
def trained(runs_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with runs/ of spade2, as the current one."""
    with copy_of(runs_once, tmp_path / "trained") as root:
        yield root


def predicted(data: Path, **options: Any) -> tuple[Prediction, list[str]]:
    lines: list[str] = []
    request = Request("eager", "float32")
    return predict("spade2", data, request=request, report=lines.append, **options), lines


def test_truths_lie_beside_where_there_are_twins(pictures: Path, here: Path) -> None:
    images = found(pictures, PICTURES)
    images.convert()
    radar = {each.key for each in catalog(images.tiles).of("Sentinel1")}
    truths = catalog(images.folder / "truth").of("Sentinel2")
    assert radar == {each.key for each in truths} and len(radar) == 2
    # Radar is predicted without a truth, whatever is wrong with that.
    shutil.copytree(pictures, "mine")
    Path("mine/testB/12.png").write_bytes(b"")
    images = found(Path("mine"), PICTURES)
    assert [each.name for each in images.convert()] == ["12"]
    assert len(catalog(images.tiles).of("Sentinel1")) == 2
    for path in Path("mine/testB").iterdir():
        path.write_bytes(b"")
    images = found(Path("mine"), PICTURES)
    assert any("optical images are passed over: " in line for line in images.lines)
    assert images.convert() == []


def test_predict_takes_the_folder_as_it_lies(pictures: Path, trained: Path) -> None:
    result, lines = predicted(pictures)
    assert (result.scenes, result.done) == (2, 2)
    assert any(line.startswith("source pairs") for line in lines)
    again, _ = predicted(pictures)
    assert (again.done, again.skipped) == (0, 2)
    # The same images as of the tiles that kit prepare made of the test part.
    prepare(pictures, "work")
    assert read_units(Path("work")) == PICTURES
    other, _ = predicted(Path("work/tiles/test"), predictions="others")
    images = [
        [np.load(path) for path in sorted(Path(folder, "spade2").glob("*.npy"))]
        for folder in ("predictions", "others")
    ]
    key = lambda image: image.tobytes()  # noqa: E731
    assert other.done == 2 and sorted(map(key, images[0])) == sorted(map(key, images[1]))


@pytest.mark.slow
def test_an_image_between_others_is_predicted_for_itself(trained: Path) -> None:
    """All are of one size and age, and those after it get other scenes."""

    def put(number: int) -> None:
        path = write_image(Path("sar") / f"{number}.png", grey(scene(number)[0][:1], -25, 0))
        path.write_bytes(path.read_bytes().ljust(4096, b"\0"))
        os.utime(path, (1_600_000_000, 1_600_000_000))

    for number in (1, 3, 4):
        put(number)
    predicted(Path("sar"))
    put(2)
    result, _ = predicted(Path("sar"))
    assert (result.done, result.skipped) == (3, 1)
    predicted(Path("sar"), predictions="fresh")
    for path in sorted(Path("fresh/spade2").glob("*.npy")):
        np.testing.assert_array_equal(np.load("predictions/spade2/" + path.name), np.load(path))


def compiled(tiles: Path, lines: list[str], source: str | None = None) -> tuple[Built, ...]:
    return compile(
        ["spade2"], runs=Path("runs"), work=Path("work"), engines=Path("engines"),
        request=Request("eager", "float32"), tiles=tiles, source=source, size=None, target="",
        report=lines.append,
    )  # fmt: skip


def test_an_engine_is_tried_on_the_folder_as_it_lies(
    pictures: Path, sen12ms: Path, trained: Path
) -> None:
    lines: list[str] = []
    shutil.copytree(pictures / "testA", "testA")
    Path("testA/12.png").write_bytes(b"")
    (built,) = compiled(Path("testA"), lines)
    assert (built.variant, built.height, built.width) == ("spade2", 32, 32)
    assert lines[0].startswith("source pairs") and "2 radar images" in lines[0]
    assert any(line.startswith("left out: 1 images that cannot be read, such") for line in lines)
    with pytest.raises(
        InputError, match=r"holds radar dB, and .* picture\n  give --radar-unit picture"
    ):
        compiled(sen12ms, lines)
    with pytest.raises(InputError, match="fits"):
        compiled(Path("testA"), lines, "sen12ms")


@pytest.mark.slow
def test_images_of_other_units_are_refused(sen12ms: Path, trained: Path) -> None:
    told = (
        r"holds radar dB, and spade2 was trained on radar picture\n  give --radar-unit picture, if"
    )
    with pytest.raises(InputError, match=told):
        predicted(sen12ms)
    assert not Path("work").exists()
    result, lines = predicted(sen12ms, units="any")
    assert result.scenes == 12 and any("was trained on radar picture" in line for line in lines)


def test_one_scene_or_season_of_sen12ms_is_in_db(sen12ms: Path, here: Path) -> None:
    season = sen12ms / "ROIs1158_spring_s1"
    for data, number in ((season, 12), (season / "s1_1", 2)):
        images = found(data)
        assert images.definition.name == "sen12ms" and images.units is None
        assert len(images.images) == number
    np.testing.assert_array_equal(converted(images)["ROIs1158_spring_s1_1_p0.tif"], scene(100)[0])


def test_an_image_that_cannot_be_read_is_left_out(pictures: Path, trained: Path) -> None:
    shutil.copytree(pictures / "testA", "testA")
    Path("testA/12.png").write_bytes(b"")
    result, _ = predicted(Path("testA"))
    assert result.scenes == 1 and [each.name for each in result.rejected] == ["12"]


def test_official_tiles_of_another_unit(here: Path) -> None:
    """A folder of tiles is read where it lies, unless another unit is said."""
    db = scene(0)[0]
    for band, values in zip(("VV", "VH"), db, strict=True):
        path = Path("tiles") / f"Sentinel1_{band}_1.5_-2.5_2020_01_02.tiff"
        write_image(path, 10 ** (values[None] / 10))
    assert find_radar_images(Path("tiles"), Path("work"), None) is None
    (key, shown), *others = converted(found(Path("tiles"), unit="power")).items()
    assert not others and "1.5_-2.5_2020_01_02" in key
    np.testing.assert_allclose(shown, db, atol=1e-4)
