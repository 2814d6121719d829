"""What kit prepare has made tiles of is shown by the names that its images have."""

from pathlib import Path

import pytest

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.pairs.summary import read_units
from kit.showing.show import show
from kit.sources.radar import find_radar_images
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


def test_a_patch_is_named_by_its_folder(here: Path) -> None:
    prepare(write_bigearthnet(Path("patches"), 3, 1), "work", holdout=0)
    (view,) = show(["S2A_MSIL2A_20170614T101031_2_48"]).views
    assert view.pair and str(view.pair.optical.date) == "2017-06-14"
