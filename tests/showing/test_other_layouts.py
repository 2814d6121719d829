"""What kit prepare has made tiles of is shown by the names that its images have."""

import shutil
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.pairs.summary import read_units
from kit.pairs.table import read_pairs
from kit.showing.show import show
from kit.sources.radar import find_radar_images
from kit.tiles.catalog import catalog
from tests.helpers.archives import image, write_member
from tests.helpers.sources import write_bigearthnet, write_pictures


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_picture_is_named_by_its_path(here: Path) -> None:
    prepare(write_pictures(Path("pictures"), 4, 1), "work", holdout=0)
    named = ("trainA/3.png", "pictures/trainB/3.png", str(here / "pictures/trainB/3.png"))
    (first,), *others = [show([name]).views for name in named]
    assert first.pair and {view.place for (view,) in others} == {first.place}
    (test,) = show(["testA/4.png"], input=Path("work/tiles/test")).views
    assert test.radar and not test.pair
    images = find_radar_images(Path("pictures"), Path("work"), read_units(Path("work")))
    assert images
    images.convert()
    (predicted,) = show(["testA/4.png"], input=images.tiles).views
    assert predicted.place != test.place
    with pytest.raises(InputError, match=r"trainA: is the name of several .*\n.*more of its path"):
        show(["trainA"])
    with pytest.raises(InputError, match=r"33\.png: names no place and no .*\n.*another layout"):
        show(["33.png"])


def test_an_image_is_the_scene_that_was_predicted_last(here: Path) -> None:
    prepare(write_pictures(Path("pictures"), 6, 2), "work", holdout=0)
    images = find_radar_images(Path("pictures/testA"), Path("work"), read_units(Path("work")))
    assert images
    images.convert()
    typed = ["testA/6.png", str(here / "pictures/testA/6.png")]
    for folder in (images.tiles, Path("work/tiles/test"), images.tiles):
        scenes = [str(scene.key) for scene in catalog(folder).scenes]
        made = {scene: image(seed, 32) for seed, scene in enumerate(scenes)}
        write_member(Path("predictions"), "p", made, input=str(folder))
        for name in typed:
            lines: list[str] = []
            (view,) = show([name], report=lines.append).views
            assert not lines
            assert [each.name for each in view.predictions] == ["p"]
            assert bool(view.optical) == (folder != images.tiles)  # which has no truth beside it
    (trained,) = show(["trainA/4.png"]).views
    assert trained.pair
    with pytest.raises(InputError, match=r"^testA/6\.png: became .*neither tiles nor pred"):
        shutil.rmtree("predictions")
        shutil.rmtree(images.folder / "test")
        shutil.rmtree(images.folder / "truth")
        shutil.rmtree("work/tiles/test")
        shutil.rmtree("work/tiles/truth")
        show(["testA/6.png"])


def test_an_unknown_place_is_answered_with_the_nearest(here: Path) -> None:
    prepare(write_pictures(Path("pictures"), 6), "work", holdout=0)
    pairs = read_pairs(Path("work/pairs.parquet"))
    lon, lat = map(float, pairs[3].place)
    with pytest.raises(InputError, match=f"nearest are {'_'.join(pairs[3].place)}, "):
        show([f"{lon + 0.01:.2f}_{lat:.2f}"])


def test_a_patch_is_named_by_its_folder(here: Path) -> None:
    prepare(write_bigearthnet(Path("patches"), 3, 1), "work", holdout=0)
    (view,) = show(["S2A_MSIL2A_20170614T101031_2_48"]).views
    assert view.pair and str(view.pair.optical.date) == "2017-06-14"
