"""The commands as a user types them: what they print, where, and how they end."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import typer

from kit import __version__, screen
from kit.cli import main
from kit.errors import BusyError
from kit.pairs.table import read_pairs, train_pairs
from kit.runs.weights import load_run, save_weights
from tests.helpers.tiles import key, optical, radar, world
from tests.helpers.variants import TINY


@pytest.mark.slow
def test_engines_are_built_ahead_and_what_cannot_be_had_is_exit_3(trained: Path, kit) -> None:
    code, out, err = kit("compile spade2 p2phd1 --backend eager --precision float32 --json")
    assert code == 0 and "next: kit predict --ensemble spade2,p2phd1" in err
    rows = json.loads(out)
    assert [(row["variant"], row["backend"], row["precision"]) for row in rows] == [
        ("spade2", "eager", "float32"), ("p2phd1", "eager", "float32"),
    ]  # fmt: skip
    assert all((row["height"], row["width"]) == (32, 32) and row["rate"] > 0 for row in rows)
    for line, words in (
        ("compile spade9", "spade9: no such variant or ensemble"),
        ("compile spade2 --backend warp", "known are auto, tensorrt"),
        ("compile spade2 --backend eager --precision int8", "does not compute in int8"),
        ("compile spade2 --backend eager --precision float32 --target sm89", "this machine alone"),
        ("compile spade2 --backend tensorrt", "pip install 'sar-to-optical-kit[tensorrt]'"),
        ("predict --ensemble spade2 --input test --backend warp", "known are auto, tensorrt"),
    ):
        code, _, err = kit(line)
        assert code == 3 and words in err, (line, err)


def test_the_whole_path_from_tiles_to_scores(trained: Path, kit) -> None:
    code, out, err = kit("prepare data --json")
    assert code == 0 and "Dataset-2" in err and "next: kit train" in err
    assert json.loads(out).keys() >= {
        "scenes_s1", "scenes_s2", "pairs", "dataset1", "dataset2", "holdout", "dropped",
    }  # fmt: skip
    code, out, err = kit("pack --json")
    assert code == 0 and "30 pairs" in err and "next: kit train" in err
    assert json.loads(out)["bytes"] == 256 + 30 * 14 * 32 * 32
    code, out, err = kit("status --json")
    assert code == 0 and [run["state"] for run in json.loads(out)] == ["finished"] * 3
    code, out, err = kit("validate --json")
    assert code == 0 and "0.02194" in err
    assert {"variant", "mae", "psnr", "psnr_pooled", "n"} <= json.loads(out)[1].keys()
    code, out, err = kit("predict --ensemble spade4,spade2,p2phd1 --input test --json")
    assert code == 0 and json.loads(out)["done"] == 6
    code, out, err = kit("package --layout plain --name mine --truth truth --json")
    assert code == 0 and json.loads(out)["images"] == 2 and "ensemble" in err
    code, out, err = kit("score submissions/mine.zip truth --json --sheet picture.png")
    assert code == 0 and "official_2022" in err and "picture.png" in err
    found = json.loads(out)
    assert found["n"] == 2 and 0 < found["mae"] < 1
    assert [row["name"] for row in found["rows"]] == [
        "mean colour", "median colour", "stretched colour with anchors",
        "spade4", "spade2", "p2phd1", "ensemble (spade4, spade2, p2phd1)",
    ]  # fmt: skip
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_screen_prepare_and_screen_again(trained: Path, kit) -> None:
    code, out, err = kit("screen data --sheet screen.png --work fresh --json")
    assert code == 0 and "--min-area" in err and "next: kit prepare" in err
    found = json.loads(out)
    assert (found["scenes_s1"], found["scenes_s2"], found["measured"]) == (30, 30, 60)
    assert (found["dataset1"], found["dataset2"], found["dropped"]) == (30, 30, {})
    assert found["effects"]["rows"][0] == {"option": "as set", "value": "-", "kept": 30}
    assert Path("screen.png").read_bytes().startswith(b"\x89PNG")
    assert kit("prepare data --work fresh -q")[0] == 0
    code, out, _ = kit("screen data --work fresh --threshold 0.5 --min-area 2 --json")
    assert code == 0 and json.loads(out)["measured"] == 0


def test_an_upload_is_checked_scored_reproduced_and_logged(trained: Path, kit) -> None:
    assert kit("predict --ensemble spade2,p2phd1 --input test -q")[0] == 0
    line = "package --layout plain --name mine --truth truth --stretch anchors --json"
    code, out, err = kit(line)
    assert code == 0 and "without anchors" in err
    assert (
        "written 2 images in" in err
        and "mae here, by your truths and not by the server's: 0." in err
    )
    assert json.loads(out)["scores"]["other"]["name"] == "without anchors"
    code, out, err = kit("check submissions/mine.zip --layout plain --json")
    assert code == 0 and json.loads(out)["ok"] and "checked 2 images in" in err
    code, out, err = kit("check submissions/mine.zip --layout 2023 --json")
    assert code == 4 and not json.loads(out)["ok"] and "rejects" in err
    line = "score submissions/mine.zip truth --sheet worst.png --worst --per-scene errors.parquet"
    code, _, err = kit(f"{line} --mapping reference/mappings.json")
    assert code == 0 and "errors.parquet" in err and Path("worst.png").exists()
    assert {"row", "mae"} <= set(pq.read_table("errors.parquet").column_names)
    code, out, err = kit("reproduce submissions/mine.json --json")
    assert code == 0 and json.loads(out)["same"] and "the same bytes" in err
    code, out, _ = kit("log mine --leaderboard 0.0279 --json")
    assert code == 0 and json.loads(out)["score"] == 0.0279
    code, out, err = kit("leaderboard --json")
    assert code == 0 and json.loads(out)["rows"][0]["leaderboard"] == 0.0279 and "mine" in err
    assert kit("package --layout plain --average 4,1 -q")[0] == 0
    assert kit("reproduce submissions/spade2-p2phd1-4-1.json -q")[0] == 0
    assert "spade2 p2phd1 (4,1)" in kit("leaderboard")[2]
    code, _, err = kit("package --layout plain --average -4,1")
    assert code == 3 and "--average: '-4' is negative" in err
    (Path("predictions/spade2") / f"{key(40)}.npy").unlink()
    code, out, err = kit("reproduce submissions/mine.json --json")
    assert code == 4 and not json.loads(out)["same"] and "cannot be built" in err


@pytest.mark.slow
def test_runs_are_compared_on_what_both_have_held_out(trained: Path, kit) -> None:
    code, out, err = kit("compare spade2 p2phd1 --json")
    assert code == 0
    found = json.loads(out)
    scores = {row["variant"]: row["mae"] for row in json.loads(kit("validate --json")[1])}
    assert found["scores"] == pytest.approx([scores["spade2"], scores["p2phd1"]], rel=1e-4)
    assert found["gain"] == pytest.approx(found["scores"][0] - found["scores"][1])
    assert err.splitlines()[-1] == found["verdict"] and found["notes"] == []
    code, out, err = kit("compare spade2 spade2,p2phd1 --measure official_2022 --json")
    assert code == 0 and json.loads(out)["second"] == "spade2-p2phd1"
    assert json.loads(out)["scenes"] == found["scenes"]


@pytest.mark.slow
def test_a_competition_scores_with_the_kit(trained: Path, kit) -> None:
    assert kit("predict --ensemble spade2 --input test -q")[0] == 0
    assert kit("package --layout plain --name mine -q")[0] == 0
    assert kit("score submissions/mine.zip truth --mapping in/ref/mappings.json -q")[0] == 0
    Path("in/res").mkdir()
    shutil.copy("submissions/mine.zip", "in/res/mine.zip")
    code, out, err = kit("score --codabench in out --json")
    assert code == 0 and "scores.json" in err
    assert json.loads(out) == json.loads(Path("out/scores.json").read_text())
    Path("in/res/mine.zip").write_bytes(b"PK")
    assert kit("score --codabench in out")[0] == 4
    assert not Path("out/scores.json").exists()


def toml(setting: str) -> str:
    field, value = setting.split("=")
    return f"{field} = {value}" if value[0].isdigit() else f'{field} = "{value}"'


@pytest.mark.slow
def test_train_prints_its_progress_and_what_to_do_next(trained: Path, kit) -> None:
    settings = " ".join(f"--set {text}" for text in TINY)
    code, out, err = kit(f"train p2phd1 {settings} --set name=again --json")
    assert code == 0 and "hold-out MAE" in err and "--ensemble again" in err
    assert json.loads(out)["steps"] == 12
    mine = Path("mine.toml")
    mine.write_text('base = "p2phd1"\n' + "\n".join(map(toml, TINY)))
    assert kit("train mine.toml --quiet") == (0, "", "")
    assert Path("runs/mine/weights.safetensors").exists()


def test_tables_of_several_folders_do_not_mix(trained: Path, kit) -> None:
    radar(Path("others"), key(90))
    optical(Path("others"), key(90))
    before = {path: path.read_bytes() for path in Path("work").glob("*.*")}
    code, _, err = kit("screen others")
    assert code == 5 and "holds pairs of other tiles" in err and "--work" in err
    assert {path: path.read_bytes() for path in Path("work").glob("*.*")} == before
    with pytest.raises(BusyError, match="holds pairs of other tiles"):
        screen("others")
    assert {path: path.read_bytes() for path in Path("work").glob("*.*")} == before
    assert kit("screen others --work elsewhere -q")[0] == 0
    assert kit("screen data -q")[0] == 0


def test_a_hold_out_of_one_pair_draws_a_warning(trained: Path, kit) -> None:
    words = "a hold-out of one pair: what is scored on it depends on chance"
    assert kit("prepare data --work fresh --holdout 1")[2].count(words) == 1
    assert "depends on chance" not in kit("prepare data --work fresh")[2]


def test_a_finished_training_says_so(trained: Path, kit) -> None:
    settings = " ".join(f"--set {text}" for text in TINY)
    code, _, err = kit(f"train spade2 {settings}")
    assert code == 0 and "finished before, at step 12; --overwrite trains it from the start" in err


@pytest.mark.slow
def test_tiles_that_a_layout_refuses_are_told_before_anything_is_made(trained: Path, kit) -> None:
    words = "tiles of 32x32: kit package needs --layout plain"
    assert words in kit("prepare data")[2]
    err = kit("predict --ensemble spade2 --input test")[2]
    assert err.index(words) < err.index("predicted by")
    assert err.splitlines()[-1] == "next: kit package --layout plain"


@pytest.mark.slow
def test_without_a_hold_out_no_validation_is_named(trained: Path, kit) -> None:
    assert kit("prepare data --holdout 0")[0] == 0
    settings = " ".join(f"--set {setting}" for setting in TINY)
    code, _, err = kit(f"train p2phd1 --set name=alone {settings}")
    assert code == 0, err
    assert err.splitlines()[-1] == "next: kit predict --ensemble alone --input TEST --flips 8"
    code, _, err = kit(f"train-all p2phd1 --runs two {settings}")
    assert code == 0, err
    assert err.splitlines()[-1] == "next: kit predict --ensemble p2phd1 --input TEST --flips 8"


def test_simulate_then_prepare(tmp_path: Path, kit, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = kit("simulate small --places 6 --test-places 1 --size 64 --json")
    assert code == 0 and "next: kit prepare" in err
    assert kit("prepare small/train --split random -q")[0] == 0
    code, _, err = kit("simulate small")
    assert code == 5 and "small" in err


def test_the_fields_of_a_variant_are_listed(kit) -> None:
    code, out, err = kit("variants --fields --json")
    listed = {field["name"]: field for field in json.loads(out)}
    assert code == 0 and listed["width"]["default"] == 64 and listed["width"]["type"] == "int"
    assert "Fields of a variant" in err and "Random seed." in err
    assert all(field["doc"] for field in listed.values())


def test_variants_and_doctor(kit) -> None:
    code, out, err = kit("variants --json")
    listed = json.loads(out)
    assert code == 0 and "GAN + 1000 L1" in err and "0.0279459" in err
    assert len(listed["variants"]) >= 5 and listed["variants"][0]["name"] == "spade1"
    assert {"paper", "best", "small"} <= listed["sets"].keys()
    assert ", ".join(listed["sets"]["paper"]) in " ".join(err.replace("│", " ").split())
    (row,) = (line for line in err.splitlines() if "nafnet1m" in line and "server" not in line)
    assert "MSE" in row.split() and "L1" not in row.split()
    code, _, err = kit("variants --fields")
    assert code == 0 and "false" in err and "False" not in err
    code, out, err = kit("doctor --json")
    assert code == 0 and {"name", "value", "why"} == json.loads(out)[0].keys()


def test_quiet_says_nothing_and_json_stays_clean(trained: Path, kit) -> None:
    assert kit("prepare data --quiet") == (0, "", "")
    _, out, err = kit("prepare data --quiet --json")
    assert json.loads(out)["pairs"] == 30 and err == ""


@pytest.fixture(scope="module")
def untouched(trained_once: Path, tmp_path_factory) -> Path:
    """A copy of `trained_once` for commands that change nothing, and an empty folder in it."""
    root = tmp_path_factory.mktemp("untouched") / "trained"
    shutil.copytree(trained_once, root)
    (root / "empty").mkdir()
    return root


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("prepare nowhere", 3, "nowhere: no such folder"),
        ("prepare empty", 3, "empty: holds no tile"),
        ("prepare data --threshold 0.1234", 3, "0.001"),
        ("prepare data --window-days -1", 2, "window-days"),
        ("screen nowhere", 3, "nowhere: no such folder"),
        ("screen data --min-area 0", 3, "min_area: is 0"),
        ("screen data --scheduler tcp://127.0.0.1:nine", 3, "does not answer"),
        ("prepare data --split best", 2, "split"),
        ("prepare", 2, "DATA"),
        ("pack --work nowhere", 3, "kit prepare"),
        ("train spade9", 3, "no such variant"),
        ("train spade2 --set wdth=3", 3, "no field called 'wdth'"),
        ("train spade2 --work nowhere", 3, "kit prepare"),
        ("train spade2 --set width=4", 5, "was started with width=2, not 4; "),
        ("validate spade1", 3, "kit train spade1"),
        ("validate --runs nowhere", 3, "no trained run"),
        ("predict --ensemble spade1 --input test", 3, "kit train spade1"),
        ("predict --ensemble spade9 --input test", 3, "did you mean spade"),
        ("predict --ensemble submission3 --input test", 3, "did you mean submission2?"),
        ("package --ensemble submision2", 3, "did you mean submission2?"),
        ("train spade2 --set widht=3", 3, "did you mean width?"),
        ("predict --ensemble spade2 --input nowhere", 3, "nowhere: no such folder"),
        ("predict --ensemble spade2 --input truth", 3, "no Sentinel-1 tile"),
        ("package", 3, "kit predict"),
        ("package --layout 1999", 3, "1999"),
        ("check nowhere.zip", 3, "nowhere.zip"),
        ("reproduce nowhere.json", 3, "nowhere.json"),
        ("log mine --leaderboard 0.1", 3, "submissions"),
        ("log mine --leaderboard low", 2, "leaderboard"),
        ("leaderboard", 3, "submissions"),
        ("compare spade2 spade9", 3, "no such run or ensemble\n  did you mean spade4?"),
        ("compare spade2 spade4 --measure psnr_pooled", 3, "is of all images together"),
        ("compare spade2 spade4 --measure best", 3, "no such measure"),
        ("compare spade2 submission1", 3, "kit train spade1"),
        ("compare one.zip two.zip", 3, "one.zip: is an archive\n  to compare archives, give --tr"),
        ("compare one two --truth truth", 3, "submissions/one.zip: no such archive"),
        ("compare spade2", 2, "B"),
        ("score nowhere.zip truth --worst", 2, "--worst requires --sheet"),
        ("score nowhere.zip truth --rows 3", 2, "--rows requires --sheet"),
        ("score nowhere.zip truth --cell 160", 2, "--cell requires --sheet"),
        ("screen data --rows 3", 2, "--rows requires --sheet"),
        ("score nowhere.zip truth --sheet a.png --by-place", 2, "--by-place requires --worst"),
        ("score --codabench nowhere out", 3, "nowhere"),
        ("score --codabench in out --per-scene x.parquet", 2, "with --per-scene"),
        ("score --codabench in out --window-days 7 --any-units", 2, "--window-days, --any-units"),
        ("score --codabench in out --measure mae --worst --rows 3", 2, "--measure, --worst, --r"),
        ("score nowhere.zip truth --year 2023", 2, "--year requires --mapping"),
        ("score nowhere.zip truth", 3, "nowhere.zip"),
        ("simulate data", 5, "data"),
        ("nonsense", 2, "nonsense"),
    ],
)
def test_mistakes_end_with_a_code_and_a_remedy(
    untouched: Path, kit, monkeypatch, line: str, code: int, message: str
) -> None:
    monkeypatch.chdir(untouched)
    ended, out, err = kit(line)
    assert (ended, out) == (code, "")
    assert message in err and "Traceback" not in err


def test_errors_are_said_even_when_quiet(kit) -> None:
    code, _, err = kit("prepare nowhere --quiet")
    assert code == 3 and "nowhere" in err


@pytest.mark.slow
def test_an_archive_the_server_would_reject_is_not_written(trained: Path, kit) -> None:
    kit("predict --ensemble submission2 --input test")
    code, _, err = kit("package")
    assert code == 4 and "256x256" in err and "--layout plain" in err
    assert not list(Path("submissions").glob("*.zip"))


def test_an_expected_list_of_other_scenes_is_refused(trained: Path, kit) -> None:
    kit("predict --ensemble spade2 --input test")
    Path("files.json").write_text(json.dumps([f"images/Sentinel2_{key(3)}.tiff"]))
    code, _, err = kit("package --layout plain --expected files.json")
    assert code == 3 and str(key(3)) in err


def test_a_truth_of_another_place_is_refused(trained: Path, kit) -> None:
    kit("predict --ensemble spade2 --input test")
    assert kit("package --layout plain")[0] == 0
    optical(Path("far"), key(3))
    code, _, err = kit("score submissions/spade2.zip far")
    assert code == 3 and key(3).lon in err


def test_bad_tiles_are_listed_and_good_ones_go_on(tmp_path: Path, kit, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    world(Path("data"), places=30, dates=1)
    Path(f"data/sent2/Sentinel2_B3_{key(2, 2)}.tiff").write_bytes(b"II*\0 half a tile")
    radar(Path("data"), key(60), bands=("VV",))
    code, _, err = kit("prepare data")
    assert code == 0 and "unreadable" in err and "missing band" in err
    listed = Path("work/rejected.csv").read_text()
    assert f"Sentinel2_B3_{key(2, 2)}.tiff" in listed and f"Sentinel1 {key(60)}" in listed


@pytest.mark.slow
def test_ctrl_c_saves_and_ends_with_130(trained: Path) -> None:
    settings = [part for text in (*TINY, "epochs=999", "name=long") for part in ("--set", text)]
    command = [sys.executable, "-m", "kit", "train", "p2phd1", *settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not Path("runs/long/metrics.jsonl").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    shown = err.splitlines()
    assert "interrupted: stopping once what is done is saved" in shown and "Traceback" not in err
    assert shown[-1] == "interrupted; to go on: " + shlex.join(["kit", *command[3:]])
    assert list(Path("runs/long/checkpoints").glob("step-*/state.json"))


def test_every_command_has_help_with_an_example(kit, monkeypatch) -> None:
    names = [*typer.main.get_group(main.app).commands]
    path = [
        "simulate", "screen", "prepare", "pack", "train", "train-all", "status", "validate",
        "compile", "predict", "package", "check", "score", "reproduce", "log", "leaderboard",
        "compare", "verify", "variants", "doctor",
    ]  # fmt: skip
    assert [name for name in names if name in path] == path
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in kit("--help")[1].replace("[ARGS]...", "")
    for name in names:
        code, out, _ = kit(f"{name} --help")
        assert max(map(len, out.splitlines())) <= 80
        assert code == 0 and f"Example: kit {name}" in out
        assert "--json" in out and "--quiet" in out


def test_the_next_step_is_one_that_can_be_taken(trained: Path, kit) -> None:
    _, _, err = kit("validate spade4 p2phd1")
    assert "next: kit predict --ensemble " in err and "spade2" not in err
    (variant,) = [part for part in err.split() if "," in part and "p2phd1" in part]
    assert set(variant.split(",")) == {"spade4", "p2phd1"}


def test_the_version_is_the_package_s(kit) -> None:
    assert kit("--version") == (0, f"{__version__}\n", "")


@pytest.mark.slow
def test_scenes_that_were_trained_on_are_told_at_every_step(trained: Path, kit) -> None:
    pair = train_pairs(read_pairs(Path("work/pairs.parquet")), 1)[0]
    for path in pair.radar_paths:
        shutil.copy(path, Path("test/sent1"))
    told = "warning: spade2 was trained on the ground of 1 of 3 scenes"
    code, out, err = kit("predict --ensemble spade2 --input test --json")
    assert code == 0 and told in err
    assert json.loads(out)["trained_on"] == {"spade2": [str(pair.radar)]}
    code, out, err = kit("package --layout plain --name mine --json")
    assert code == 0 and told in err and "other weights" not in err
    assert json.loads(out)["trained_on"] == {"spade2": [str(pair.radar)]}
    assert not kit("score submissions/mine.zip truth -q")[0]
    assert "trained" not in kit("score submissions/mine.zip truth")[2]  # of those that it scores
    code, out, err = kit("score submissions/mine.zip data --json")
    assert code == 0 and "was trained on the ground of 1 of 1 scenes" in err
    assert json.loads(out)["trained_on"] == {"spade2": [str(pair.radar)]}


def test_predictions_of_weights_that_were_trained_again_are_told(trained: Path, kit) -> None:
    assert kit("predict --ensemble spade2 --input test -q")[0] == 0
    weights = load_run(Path("runs"), "spade2")
    with torch.no_grad():
        next(weights.generator.parameters()).mul_(1.01)
    save_weights(weights.path, weights.generator, weights.variant, weights.facts)
    code, out, err = kit("package --layout plain --json")
    assert code == 0 and "spade2 was trained again since it predicted" in err
    assert json.loads(out)["retrained"] == ["spade2"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--hold\x1b[2Jout", "3"],
        ["\x1b]0;owned\x07"],
        ["package", "--stretch", "a\x1b[2J"],
        ["score", "a", "b", "c\x1b[2J\nError: forged"],
    ],
)
def test_a_usage_error_quotes_no_control_character(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main.app(arguments, prog_name="kit")
    said = capsys.readouterr().err
    assert ended.value.code == 2 and r"\x1b" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert "\nError: forged" not in said
