"""kit screen and kit prepare with a detector, as they are typed."""

import json
import sys
from pathlib import Path

import pytest

from tests.helpers.detector import Fake, fake, mark
from tests.helpers.sources import write_pictures
from tests.helpers.tiles import key, optical, radar

__all__ = ["fake"]


@pytest.fixture
def tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for place in range(4):
        optical(Path("data"), key(place), cloud=8 * (place == 3))
        radar(Path("data"), key(place))
    mark(Path("data"), key(0), cloud=100, shadow=20)
    return tmp_path


def test_what_it_has_seen_is_told_with_what_that_changed(tiles: Path, kit, fake: Fake) -> None:
    code, out, err = kit("screen data --detector ukis --detector-on all --json")
    assert code == 0
    assert "4 of these scenes have no B8 beside their other tiles: red is shown in its place" in err
    assert "clear by the rule and fake 1, as for Dataset-2" in err
    assert "What the rule alone passes with one option changed" in err
    assert json.loads(out)["second_look"] == {
        "detector": "fake 1", "on": "all", "max_flagged": 0.01, "scenes": 4, "measured": 4,
        "without_b8": 4, "flagged": 1, "admitted": 1,
    }  # fmt: skip
    code, out, err = kit("prepare data --detector ukis --holdout 0 --json")
    summary = json.loads(out)
    assert "it has seen 4 scenes; 1 that the rule passes are not clear to it, 0 that" in err
    assert code == 0 and (summary["dataset1"], summary["dataset2"]) == (4, 2)
    assert summary["dropped"] == {"heuristic cloud": 1, "detector: cloud or shadow": 1}
    assert len(fake.shapes) == 4
    code, out, err = kit(f"show {key(0)} --json")
    assert code == 0 and json.loads(out)["views"][0]["detector"] == 120 / 1024
    assert "cloud or shadow by the detector 11.7%" in err


def test_images_of_another_layout_are_named_with_the_command_that_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kit
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(Path("pictures"), 2)
    code, _, err = kit("screen pictures")
    assert code == 3
    assert "pictures: holds images of the source pairs, and kit screen takes tiles" in err
    assert "run kit prepare pictures, which makes tiles of them and screens these" in err
    code, _, err = kit("screen pictures/trainA")
    assert code == 3 and "has 2 radar images, and no optical ones" in err
    assert not Path("work").exists()


def test_without_it_nothing_is_said_of_it(tiles: Path, kit) -> None:
    code, out, err = kit("screen data --json")
    assert code == 0 and json.loads(out)["second_look"] is None
    assert "detector" not in err and "and without cloud by the rule" in err


@pytest.mark.parametrize("command", ["screen", "prepare"])
def test_where_it_is_not_installed_one_line_says_what_to_install(
    tiles: Path, kit, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "ukis_csmask", None)
    code, _, err = kit(f"{command} data --detector ukis")
    assert code == 3
    assert "ukis-csmask: not installed\n  pip install 'sar-to-optical-kit[detector]'" in err
    assert not Path("work/scenes.parquet").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--detector-on all", 2, "--detector-on needs --detector"),
        ("--detector s2cloudless", 2, "s2cloudless"),
        ("--detector ukis --detector-on some", 2, "some"),
    ],
)
def test_mistakes_are_named(tiles: Path, kit, options: str, code: int, said: str) -> None:
    found, _, err = kit(f"screen data {options}")
    assert found == code and said in err
