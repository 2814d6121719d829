"""What check, package, score and leaderboard say of an archive."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from kit.cli import console
from kit.prediction.combination import Combination
from kit.prediction.ensembles import Ensemble, Fitted, write_ensemble
from kit.tiles.catalog import catalog
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import (
    A,
    digital_numbers,
    image,
    write_archive,
    write_member,
    write_truth,
)
from tests.helpers.sources import write_image, write_pictures


@pytest.fixture
def kit(kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `kit ...` beside two members' predictions and a truth: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    smooth = (image(1, 256) // 16 + 20_000).astype(np.uint16)
    write_member(tmp_path / "predictions", "one", {A: smooth})
    write_member(tmp_path / "predictions", "two", {A: image(2, 256)})
    write_truth(tmp_path / "truth", A, digital_numbers(3, 256))
    return kit


def test_an_image_of_one_colour_is_refused_though_the_server_would_score_it(kit) -> None:
    flat = np.full((3, 256, 256), 7, np.uint16)
    write_archive(Path("a.zip"), [(f"CH3/{A}.tiff", encode_tiff(flat))])
    code, _, err = kit("check a.zip")
    assert code == 4 and err.splitlines()[-1].endswith("would score images of it as black")
    assert "rejects" not in err and "scores as black" in err


def test_what_is_advised_finds_a_layout_and_ensembles_that_lie_elsewhere(kit) -> None:
    Path("layouts").mkdir()
    Path("layouts/mine.toml").write_text('base = "2023"\n')
    about = Fitted("greedy", 0.03, (0.02, 0.04), {}, 9, "p", {"one": "w"})
    fitted = Ensemble("best", ("one", "two"), Combination(), "official_2023", "reflectance", about)
    write_ensemble(Path("elsewhere"), fitted)
    command = "package --ensemble best --ensembles elsewhere --truth truth --json"
    code, out, err = kit(f"{command} --layout layouts/mine.toml")
    assert code == 0
    again = err.splitlines()[-1].partition("run: kit ")[2]
    assert again.endswith("--layout layouts/mine.toml --ensembles elsewhere")
    assert kit(f"{again} --overwrite")[0] == 0
    scored = json.loads(kit("score submissions/best.zip truth --json")[1])["advice"]
    assert str(Path("layouts/mine.toml").resolve()) in scored["command"]
    assert json.loads(out)["scores"]["advice"]["setting"] == scored["setting"]


def test_the_last_line_names_the_better_setting_and_the_log_has_the_scores(kit) -> None:
    code, _, err = kit("package --ensemble one,two --layout 2023")
    assert code == 0 and err.splitlines()[-1].startswith("next: upload it")
    code, out, err = kit("score submissions/one-two.zip truth --json")
    assert code == 0
    advice = json.loads(out)["advice"]
    assert advice["measure"] == "official_2023" and "--layout 2023" in advice["command"]
    last = err.splitlines()[-1]
    assert last.startswith(f"better: {advice['setting']}, official_2023 ")
    assert last.endswith(f"run: {advice['command']}")
    assert "recorded in submissions/submissions.csv" in err
    assert "mean absolute error" not in err and "--explain" in err
    code, out, err = kit(f"{advice['command'].removeprefix('kit ')} --truth truth --explain --json")
    assert code == 0 and err.count("mae: mean absolute error") == 1
    assert "leaderboard shows" not in err and "not by the server's" in err
    assert Path(json.loads(out)["archive"]).name.endswith(".zip")
    code, out, err = kit("leaderboard --json")
    rows = json.loads(out)["rows"]
    assert code == 0 and [row["local"]["official_2023"] for row in rows] == sorted(
        row["local"]["official_2023"] for row in rows
    )
    assert {row["layout"] for row in rows} == {"2023"} and rows[0]["truth"] == "truth"
    assert "no score of the server is noted" in err and "reflectance" in err


def test_anchors_are_in_the_name_and_equal_archives_are_remarked(kit) -> None:
    code, out, _ = kit("package --ensemble one --stretch anchors --average median --json")
    assert code == 0 and json.loads(out)["archive"] == "submissions/one-median-anchors.zip"
    assert kit("package --ensemble one --stretch anchors --name again")[0] == 0
    code, _, err = kit("leaderboard")
    assert code == 0 and "one-median-anchors holds the same bytes as again" in err


def test_check_knows_the_layout_from_the_manifest(kit, tmp_path: Path) -> None:
    assert kit("package --ensemble one --layout 2023")[0] == 0
    code, _, err = kit("check submissions/one.zip")
    assert code == 0 and "layout 2023, as the manifest beside it says" in err
    code, _, err = kit("check submissions/one.zip --layout 2022")
    assert code == 4 and "give --layout 2023" in err and "warning" not in err
    manifest = tmp_path / "submissions" / "one.json"
    for text, problem in (
        (manifest.read_text().replace("2023", "2024", 1), "it does not match its own checksum"),
        ("[]", "it holds no JSON object"),
    ):
        manifest.write_text(text)
        code, _, err = kit("check submissions/one.zip")
        assert code == 4
        line = f"warning: submissions/one.json does not say the layout (damaged: {problem});"
        assert f"{line} --layout names it" in " ".join(err.split())


@pytest.mark.slow
def test_pictures_with_white_in_them_are_scored(kit, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "pictures", 4, 3)
    for path in (data / "testB").iterdir():
        with rasterio.open(path) as file:
            pixels = file.read()
        pixels[:, :2, :2] = 255
        write_image(path, pixels)
    assert kit("prepare pictures")[0] == 0
    scenes = [str(scene.key) for scene in catalog(Path("work/tiles/test")).scenes]
    shutil.rmtree("predictions")
    write_member(tmp_path / "predictions", "p", {scene: image(7, 32) for scene in scenes})
    assert kit("package --layout plain --name pictures")[0] == 0
    code, out, err = kit("score submissions/pictures.zip work/tiles/truth --json")
    assert code == 0 and json.loads(out)["n"] == 3 and json.loads(out)["left_out"] == {}
    assert "truths may have any cloud by the rule: as work was prepared" in err
    assert kit("prepare pictures --max-cloud 0 --min-area 4")[0] == 0
    code, _, err = kit("score submissions/pictures.zip work/tiles/truth")
    assert code == 3 and "is left out: 3 cloud by the rule" in err
    assert "min area 4, dilate 0): as work was prepared" in err
    code, _, err = kit(
        "package --layout plain --name pictures --overwrite --truth work/tiles/truth"
    )
    assert code == 3 and "is left out: 3 cloud by the rule" in err


def test_truths_that_are_left_out_are_counted_by_reason(kit, tmp_path: Path) -> None:
    cloudy = digital_numbers(3, 256)
    cloudy[:, 0, 0] = 5000
    write_truth(tmp_path / "truth", "-54.48_-3.33_2019_06_09", cloudy)
    write_truth(tmp_path / "truth", "-54.48_-3.33_2019_08_09", cloudy)
    assert kit("package --ensemble one")[0] == 0
    code, _, err = kit("score submissions/one.zip truth")
    assert code == 0
    assert "truths left out: 1 cloud by the rule, 1 outside the window of days" in err
    code, _, err = kit("compare one one --truth truth")
    assert code == 0 and "note: truths may have 0 % of cloud by the rule" in err


@pytest.mark.parametrize("options", ["--sheet a.xyz", "--sheet a.gif", "--per-scene a.xls"])
def test_a_format_that_is_not_written_is_refused_at_once(kit, options: str) -> None:
    code, _, err = kit(f"score none.zip truth {options}")
    assert code == 3 and "a." in err and "no such archive" not in err
    assert not [*Path().glob("a.*")]


def test_scores_are_not_recorded_in_a_log_with_other_columns(kit) -> None:
    smooth = (image(1, 256) // 16 + 20_000).astype(np.uint16)
    write_archive(Path("a.zip"), [(f"CH3/{A}.tiff", encode_tiff(smooth))])
    Path("submissions.csv").write_text("archive,mine\n")
    code, out, err = kit("score a.zip truth --json")
    assert code == 0 and json.loads(out)["n"] == 1
    assert "not recorded: submissions.csv: " in err and Path("submissions.csv").stat().st_size == 13


def test_chance_is_that_of_the_archives_whose_order_agrees_best(kit) -> None:
    titles = "time,name,layout,truth,mae,sha256,leaderboard\n"
    server = {"2022": [0.5] * 5, "2023": [0.1, 0.2, 0.3, 0.4, 0.5]}
    lines = [
        f"2024-06-0{n + 1},{layout}-{n},{layout},truth,{0.1 * n},{layout}{n},{scores[n]}\n"
        for layout, scores in server.items()
        for n in range(5)
    ]
    Path("submissions").mkdir()
    Path("submissions/submissions.csv").write_text(titles + "".join(lines))
    code, out, err = kit("leaderboard --json")
    assert code == 0 and json.loads(out)["best"] == ["mae"]
    assert "best agreement: mae" in err and "as chance may have it" not in err


@pytest.mark.slow
def test_tables_and_sheets_are_in_the_format_of_their_name(kit) -> None:
    assert kit("package --ensemble one,two")[0] == 0
    line = "score submissions/one-two.zip truth"
    code, _, _ = kit(f"{line} --sheet a.jpg --per-scene a.csv")
    assert code == 0 and Path("a.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    titles, first, *_ = Path("a.csv").read_text().splitlines()
    assert titles.startswith("row,scene,submission,truth,") and first.startswith("mean colour,")
    code, _, _ = kit(f"{line} --sheet a.PNG --per-scene a.parquet")
    assert code == 0 and Path("a.PNG").read_bytes().startswith(b"\x89PNG")
    assert Path("a.parquet").read_bytes().startswith(b"PAR1")


def test_the_leaderboard_is_a_table_on_a_narrow_terminal(kit, monkeypatch) -> None:
    assert kit("package --ensemble one,two --truth truth")[0] == 0
    monkeypatch.setattr(console.stderr, "_width", 80)
    code, _, err = kit("leaderboard")
    grid = [line for line in err.splitlines() if line.startswith("│")]
    assert code == 0 and max(map(len, grid)) <= 80
    assert "reflectance" in err and sum("one-two" in line for line in grid) == 2
