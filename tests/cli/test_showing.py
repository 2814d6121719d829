"""`kit show` as it is typed."""

import json
from pathlib import Path

from rich.console import Console

from kit.cli import console
from tests.helpers.tiles import key


def test_a_longitude_is_no_option_and_a_wrong_option_is_refused(trained: Path, kit) -> None:
    code, out, err = kit(f"show {key(0)} --json")
    assert code == 0 and f"next: kit show {key(0)} --predict p2phd1,spade2,spade4" in err
    (view,) = json.loads(out)["views"]
    assert view["crs"] == "EPSG:4326" and view["bounds"]["west"] < -55 < view["bounds"]["east"]
    assert [band["band"] for band in view["bands"]] == ["VV", "VH", "B4", "B3", "B2"]
    code, _, err = kit(f"show {key(0)} --gotiff qgis")
    assert code == 2 and "no such option: --gotiff" in err
    code, _, err = kit("show nowhere")
    assert code == 3 and "names no place and no scene" in err


def test_a_picture_is_drawn_in_a_terminal_with_colours_alone(
    trained: Path, kit, monkeypatch
) -> None:
    assert "▀" not in kit(f"show {key(0)}")[2]
    terminal = Console(
        stderr=True, force_terminal=True, color_system="truecolor", width=100, soft_wrap=True
    )
    monkeypatch.setattr(console, "stderr", terminal)
    code, _, err = kit(f"show {key(0)} --predict spade2 -o out.jpg")
    drawn = [line for line in err.splitlines() if "▀" in line]
    # Three rows of panels, of 23 characters a side and two pixels a character.
    assert code == 0 and len(drawn) == 3 * 12 and Path("out.jpg").exists()
    assert "next: kit show" in err and "--predict p2phd1,spade4" in err
    assert all(line.count("▀") in (2 * 23, 4 * 23) for line in drawn)


def test_a_place_is_a_table_with_a_line_for_each_date(trained: Path, kit) -> None:
    place = f"{key(0).lon}_{key(0).lat}"
    code, _, err = kit(f"show {place} {key(1)} --predict spade2,p2phd1 --geotiff qgis")
    assert code == 0 and "Scenes and pairs" in err and "p2phd1 0." in err
    assert "10 GeoTIFFs: qgis" in err and len(list(Path("qgis").iterdir())) == 10
