"""From tiles to the archive by one command: what it runs, what it passes over, what it refuses."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from kit.cli import console, main
from kit.errors import BusyError, InputError
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, train_pairs
from kit.planning import compete as module
from kit.planning.commands import Commands
from kit.planning.compete import (
    CommandError,
    Step,
    _fewer_views,
    _note_views,
    compete,
    dry_run,
)
from kit.planning.inputs import Request, compare, find_radar
from kit.planning.outlook import _better, _still_improving
from kit.planning.plan import PLAN, Plan, Training, read_plan, write_plan
from kit.prediction.ensembles import Ensemble
from kit.runs.records import append_record
from kit.screening.detector import Detector
from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from kit.storage.files import sha256
from kit.tiles.names import SceneKey
from tests.helpers.detector import fake
from tests.helpers.sources import write_pictures
from tests.helpers.tiles import key, optical, radar

__all__ = ["fake"]

TINY = {
    "width": 2, "batch": 4, "crop": 32, "epochs": 1, "decay_epochs": 1, "lr": 0.002,
    "precision": "float32", "discriminator_width": 2, "discriminator_lr": 0.002,
}  # fmt: skip


def tiny_plan(*names: str, flips: int = 1, minutes: float = 1.0) -> Plan:
    trainings = tuple(Training(name, TINY, minutes) for name in names)
    parts = {"fitting": 1.0, "predicting": 8.0, "packaging": 1.0}
    return Plan(
        1.0, "here", 24, "mae", 1, False, flips, False, 0, trainings, parts, {"spade1": "slow"}
    )


@pytest.fixture
def asked(trained: Path, trained_once: Path) -> Request:
    """A request in the folder of trained runs, whose plan is of two of them."""
    write_plan(PLAN, tiny_plan("spade2", "p2phd1"))
    return Request(trained_once / "data", trained / "test", 1.0, "plain")


@pytest.fixture
def empty(asked: Request, tmp_path: Path) -> Path:
    """The folder that it works in, where nothing is prepared."""
    folder = tmp_path / "empty"
    folder.mkdir()
    os.chdir(folder)
    return folder


def lines_of(request: Request) -> list[str]:
    told: list[str] = []
    steps = dry_run(request, report=told.append)
    assert all(any(line.endswith(f": {step}") for line in told) for step in steps)
    return told


def test_a_dry_run_lists_the_commands_and_what_is_done(asked: Request) -> None:
    told = [line for line in lines_of(asked) if line.startswith(("done", "would"))]
    test = asked.test
    assert told == [
        f"done before: kit screen {asked.data} --sheet screen.png",
        f"done before: kit prepare {asked.data}",
        f"done before: kit plan --hours 1 --input {test} --measure mae",
        "done before: kit train-all --plan plan.toml",
        "would run: kit fit spade2 p2phd1 --measure mae --name compete",
        f"would run: kit predict --ensemble compete --input {test}",
        "would run: kit package --ensemble compete --name compete --layout plain",
        "would run: kit check submissions/compete.zip --layout plain",
        "would run: kit validate spade2 p2phd1 --measure mae",
        "would run: kit report --output report.html",
    ]
    assert not Path("submissions").exists()


def test_a_command_is_as_one_types_it() -> None:
    assert str(Step(("screen", "my data"))) == "kit screen 'my data'"


def test_views_and_other_options_reach_the_commands(asked: Request) -> None:
    write_plan(PLAN, replace(tiny_plan("spade2", "p2phd2", flips=8), pack=True))
    Path("files.json").write_text(json.dumps([f"images/Sentinel2_{key(40)}.tiff"]))
    asked = replace(asked, expected=Path("files.json"), measure="psnr", name="mine")
    told = "\n".join(lines_of(asked))
    assert "would run: kit pack\n" in told and "would run: kit train-all" in told
    assert f"kit predict --ensemble mine --input {asked.test} --flips 8" in told
    assert "kit package --ensemble mine --name mine --layout plain --expected files.json" in told
    assert "kit check submissions/mine.zip --layout plain --expected files.json" in told


def test_a_server_that_stretches_gets_anchors_with_what_was_fitted_for_mae(asked: Request) -> None:
    Path("server.toml").write_text('base = "plain"\nmeasure = "official_2022"\n')
    stretching = replace(asked, layout="server.toml", measure="mae")
    (line,) = [told for told in lines_of(stretching) if "kit package" in told]
    assert line.endswith("--name compete --layout server.toml --stretch anchors")
    write_plan(PLAN, replace(tiny_plan("spade2", "p2phd1"), measure="official_2022"))
    (line,) = [t for t in lines_of(replace(stretching, measure=None)) if "kit package" in t]
    assert line.endswith("--name compete --layout server.toml")


def test_in_an_empty_folder_the_plan_is_still_to_come(trained: Path, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    told = lines_of(Request(trained / "data", trained / "test", 2.0, "plain"))
    assert told[:2] == [
        f"would run: kit screen {trained / 'data'} --sheet screen.png",
        f"would run: kit prepare {trained / 'data'} --split blocks --holdout 0",
    ]
    assert "kit plan --hours 2 " in told[2] and "depends on plan.toml" in told[-1]


def test_where_nothing_could_be_trained_compete_ends(asked, monkeypatch) -> None:
    write_plan(PLAN, tiny_plan("nafnet1", "unet1"))
    monkeypatch.setattr(Commands, "run", lambda self, words: 4)
    with pytest.raises(CommandError, match=r"kit train-all --plan plan.toml ended"):
        compete(asked, report=print)


def test_a_command_that_fails_ends_it_with_its_code(asked, monkeypatch) -> None:
    ran: list[str] = []

    def run(self: Commands, words: tuple[str, ...]) -> int:
        ran.append(words[0])
        return 4 if words[0] == "fit" else 0

    monkeypatch.setattr(Commands, "run", run)
    with pytest.raises(CommandError, match=r"kit fit spade2 p2phd1 .* exit code 4") as error:
        compete(asked, report=print)
    assert error.value.exit_code == 4 and ran == ["fit"]


def test_one_that_cannot_be_trained_does_not_stop_the_others(asked, monkeypatch) -> None:
    write_plan(PLAN, tiny_plan("spade2", "p2phd1", "nafnet1"))
    ran: list[tuple[str, ...]] = []
    told: list[str] = []

    def run(self: Commands, words: tuple[str, ...]) -> int:
        ran.append(words)
        return 4 if words[0] in ("train-all", "predict") else 0

    monkeypatch.setattr(Commands, "run", run)
    with pytest.raises(CommandError, match="kit predict"):
        compete(asked, quiet=True, report=told.append)
    assert ran[1] == ("fit", "spade2", "p2phd1", "--measure", "mae", "--name", "compete", "--quiet")
    assert "not trained: nafnet1; the others go on" in told


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"layout": "2022"}, "has tiles of 32x32, where layout 2022 takes 256"),
        ({"layout": "2024"}, "no such layout"),
        ({"measure": "ssim"}, "no ensemble can be fitted for it"),
        ({"name": "a/b"}, "a/b: not a name for an ensemble"),
        ({"name": "unet2"}, "unet2: is the name of a variant"),
        ({"hours": float("inf")}, "inf hours are no time to plan with"),
        ({"hours": 0.0}, "0 hours are no time to plan with"),
        ({"data": Path("elsewhere")}, "holds the pairs of"),
        ({"test": Path("nowhere")}, "nowhere"),
        ({"test": Path("only-optical")}, "holds no complete Sentinel-1 scene"),
        ({"expected": Path("files.json")}, "1 of 2 names are of no scene"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_hour(asked, change, problem) -> None:
    optical(Path("only-optical"), key(40))
    names = [f"images/Sentinel2_{key(place)}.tiff" for place in (40, 7)]
    Path("files.json").write_text(json.dumps(names))
    with pytest.raises(InputError, match=problem):
        compete(replace(asked, **change), report=print)


def test_test_scenes_that_training_sees_are_counted(asked: Request) -> None:
    radar(asked.test, key(3, 90))
    radar(asked.test, key(4, 2))  # of which there is the optical scene too
    told = "\n".join(lines_of(asked))
    assert "2 of 4 radar scenes show ground of" in told
    assert f"of 1 of them {asked.data} has the optical scene itself" in told


def test_few_pairs_are_all_trained_on_where_there_is_time(asked: Request) -> None:
    Path("work/pairs.parquet").unlink()
    PLAN.unlink()
    short, long = (lines_of(replace(asked, hours=hours)) for hours in (0.05, 8.0))
    assert any("kit prepare" in line and line.endswith("--split blocks") for line in short)
    assert any("kit prepare" in line and line.endswith("--holdout 0") for line in long)


def of_places(folder: Path, places: int, dates: int, cloudy: int = 0) -> list[str]:
    """The line that would prepare a folder of so many places, as it is screened."""
    os.chdir(folder)
    for place in range(places):
        for day in range(dates):
            of_day = key(place, 10 * day)
            radar(Path("data"), of_day)
            optical(Path("data"), of_day, cloud=20 * (day >= dates - cloudy))
    screen(Path("data"), Path("work"))
    radar(Path("seen"), key(0, 5))
    radar(Path("new"), key(90, 5))
    told = list[str]()
    for test, hours in (("seen", 8.0), ("new", 8.0), ("new", 0.05)):
        lines = lines_of(Request(Path("data"), Path(test), hours, "plain"))
        told += [line.partition("kit prepare data ")[2] for line in lines if "kit prepare" in line]
    return told


def test_of_places_that_recur_dates_are_held_out_however_few_pairs_there_are(empty: Path) -> None:
    assert of_places(empty, 4, 3) == [
        "--split dates", "--split blocks --holdout 0", "--split blocks",
    ]  # fmt: skip


def test_where_other_dates_are_cloudy_places_are_held_out(empty: Path) -> None:
    assert of_places(empty, 4, 2, cloudy=1)[0] == "--split blocks --holdout 0"


@pytest.mark.slow
def test_what_is_held_out_is_a_small_part_of_the_clear_scenes(
    asked: Request, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(clear: int, hours: float = 8.0) -> str:
        monkeypatch.setattr(module, "clear_scenes", lambda _: [key(n) for n in range(clear)])
        lines = lines_of(replace(asked, hours=hours))
        (line,) = [line for line in lines if "kit prepare" in line]
        return line.partition("--split blocks")[2].strip()

    screen(asked.data, Path("work"))
    assert told(40) == told(500) == "--holdout 0"
    assert told(40, 0.08) == told(500, 0.4) == ""  # a fifth, which kit prepare takes at most
    assert told(40, 0.09) == told(500, 0.5) == "--holdout 0"
    assert [told(clear) for clear in (501, 1_999, 4_000, 81_391)] == [
        "--holdout 100", "--holdout 100", "--holdout 200", "--holdout 1000",
    ]  # fmt: skip


def test_a_plan_after_which_nothing_could_be_scored_is_refused(asked: Request) -> None:
    prepare(asked.data, "work", holdout=0)
    with pytest.raises(InputError, match=r"plan.toml: plans no folds, and no pair of .* is held"):
        compete(asked, report=print)
    # Not prepared yet, the pairs are made as the plan needs them.
    Path("work/pairs.parquet").unlink()
    assert any(line.endswith("--split blocks") for line in lines_of(asked))


def test_runs_of_another_plan_stop_it_before_anything_is_run(asked: Request, monkeypatch) -> None:
    monkeypatch.setattr(Commands, "run", lambda *_: pytest.fail("ran a command"))
    other = replace(tiny_plan("spade2", "p2phd1"), trainings=(Training("spade2", {"width": 4}),))
    write_plan(PLAN, other)
    for prepared in (True, False):
        with pytest.raises(InputError, match=r"runs/spade2: was trained with .*width=2, not 4"):
            compete(asked, report=print)
        if prepared:
            Path("work/pairs.parquet").unlink()


def at(lon: str, day: int) -> SceneKey:
    return SceneKey(lon, "0.00", datetime.date(2020, 1, day))


@pytest.mark.parametrize(
    ("asked_for", "dates", "split"),
    [
        (["50.00", "51.00"], 2, "blocks"),
        (["1.00", "2.00"], 2, "dates"),
        (["1.00", "51.00"], 2, "both"),
        (["1.00", "2.00"], 1, "blocks"),
    ],
)
def test_what_is_held_out_is_like_what_is_to_be_predicted(asked_for, dates, split) -> None:
    optical_scenes = [at(f"{n}.00", day) for n in range(1, 5) for day in range(1, dates + 1)]
    found = compare(tuple(at(lon, 20) for lon in asked_for), optical_scenes, 256)
    assert found.split == split


def test_where_training_took_longer_there_are_fewer_views(asked: Request) -> None:
    write_plan(PLAN, tiny_plan("spade2", flips=8))
    PLAN.write_text("# mine\n" + PLAN.read_text())
    plan = read_plan(PLAN)
    assert _fewer_views(plan, 10.1) is None
    assert (_fewer_views(plan, 6.5), _fewer_views(plan, 0.0)) == (4, 1)
    quick = replace(plan, minutes=plan.minutes | {"predicting": plan.hours * 60 / 60})
    assert _fewer_views(quick, 0.0) is None  # they take next to nothing
    for text in (PLAN.read_text(), PLAN.read_text().replace("flips = 8", "flips=8")):
        PLAN.write_text(text)
        _note_views(4)
        assert read_plan(PLAN) == replace(plan, flips=4)
        assert PLAN.read_text().startswith("# mine")


def test_a_dry_run_that_would_be_late_says_so_and_leaves_the_plan(asked: Request) -> None:
    write_plan(PLAN, tiny_plan("spade2", flips=8))
    before = PLAN.read_bytes()
    told = "\n".join(lines_of(replace(asked, hours=2 / 60)))
    assert "late: 1 view of each scene in place of 8\n" in told
    assert PLAN.read_bytes() == before


def test_a_network_that_scored_best_at_its_end_wants_more_hours(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, errors in (("rising", (0.3, 0.2, 0.1)), ("over", (0.3, 0.1, 0.2)), ("once", (0.1,))):
        for run, counted in ((name, "holdout_mae"), (f"{name}m", "holdout_mse")):
            Path("runs", run).mkdir(parents=True)
            for step, error in enumerate(errors):
                record = {"step": step, "holdout_mae": 0.1 * step, counted: error}
                append_record(Path("runs", run), record)
    for names in (("rising", "over", "once"), ("risingm", "overm", "oncem")):
        assert [_still_improving(name) for name in names] == [True, False, False]


def test_table_1_is_left_out_where_there_is_no_time_for_it(asked: Request) -> None:
    plan = replace(tiny_plan("spade2", "p2phd1"), minutes={"fitting": 61.0})
    write_plan(PLAN, plan)
    assert not any("kit validate" in line for line in lines_of(asked))


def test_what_more_views_take_is_said(asked: Request) -> None:
    found = [*_better(Ensemble("mine", ("spade2", "p2phd1")), tiny_plan("spade2", "p2phd1"))]
    assert (
        "flips = 8 in plan.toml, and the same command again: there was time for 1 view of a scene"
    ) in found


def test_one_at_a_time(asked: Request, monkeypatch) -> None:
    monkeypatch.setattr("kit.planning.commands.SAVING", 0.3)
    told: list[str] = []
    with module.hold(Path("work"), print), pytest.raises(BusyError, match="another kit compete"):
        compete(asked, report=told.append)
    assert any("waiting for another kit compete" in line for line in told)


def command(*more: str) -> list[str]:
    given = ["compete", "../data", "../test", "--hours", "1", "--layout", "plain", *more]
    return [sys.executable, "-m", "kit", *given]


def start_in(folder: Path) -> None:
    folder.mkdir()
    write_plan(folder / PLAN, tiny_plan("spade2", "p2phd2"))


@pytest.mark.slow
@pytest.mark.multiprocess
def test_killed_at_any_moment_it_goes_on_to_the_same_archive(trained: Path) -> None:
    start_in(Path("straight"))
    done = subprocess.run(command(), cwd="straight", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ran = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("$ kit")]
    commands = "screen prepare train-all fit predict package check validate report"
    assert ran == commands.split()
    assert "mean colour" in Path("straight/report.html").read_text()  # a baseline of Table 1
    assert "expect mae" in done.stderr and "would improve it:" in done.stderr
    start_in(Path("killed"))
    for seconds in (4, 10, 16):
        process = subprocess.Popen(command("--quiet"), cwd="killed", stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        assert seconds > 4 or process.poll() is None, "it is over before the first kill"
        process.send_signal(signal.SIGKILL)
        process.wait()
    again = subprocess.run(command(), cwd="killed", capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    archives = [Path(folder, "submissions", "compete.zip") for folder in ("straight", "killed")]
    assert sha256(archives[0]) == sha256(archives[1])
    before = archives[1].stat().st_mtime_ns
    last = subprocess.run(command(), cwd="killed", capture_output=True, text=True)
    assert last.returncode == 0 and archives[1].stat().st_mtime_ns == before
    assert [line for line in last.stderr.splitlines() if line.startswith("$ kit")] == [
        "$ kit check submissions/compete.zip --layout plain",
        "$ kit report --output report.html",
    ]


@pytest.mark.parametrize(
    ("kinds", "of"),
    [
        ({}, ""),
        ({"unseen places": 12}, " of unseen places"),
        (
            {"unseen places": 9, "unseen dates of seen places": 3},
            " (9 of unseen places, 3 of unseen dates of seen places)",
        ),
    ],
)
def test_the_command_line_says_what_to_expect(
    asked: Request, kinds: dict[str, int], of: str, monkeypatch, capsys
) -> None:
    from kit.planning.outlook import Outlook

    found = Outlook(
        Path("s/c.zip"), "mae", 0.0312, (0.03, 0.033), 12, ("unet2",), ("more hours",), kinds
    )
    monkeypatch.setattr(module, "compete", lambda *_, **__: found)
    monkeypatch.setattr(console.stderr, "quiet", False)
    line = f"compete {asked.data} {asked.test} --hours 1 --layout plain --json"
    monkeypatch.setattr(sys, "argv", ["kit", *line.split()])
    with pytest.raises(SystemExit) as end:
        main.main()
    out, err = capsys.readouterr()
    assert not end.value.code and json.loads(out)["score"] == 0.0312
    told = " ".join(err.split())
    expected = "s/c.zip: expect mae 0.0312, 95 % interval 0.03 to 0.033, as on 12 held-out scenes"
    assert f"{expected}{of}; of unet2" in told
    assert "would improve it: more hours" in told


def test_a_dry_run_shows_the_plan(asked: Request, monkeypatch, capsys) -> None:
    monkeypatch.setattr(console.stderr, "quiet", False)
    line = f"compete {asked.data} {asked.test} --hours 1 --layout plain --dry-run --json"
    monkeypatch.setattr(sys, "argv", ["kit", *line.split()])
    with pytest.raises(SystemExit) as end:
        main.main()
    out, err = capsys.readouterr()
    told = " ".join(err.split())
    assert not end.value.code and "Plan of 60.0 min for mae on here: 24 pairs" in told
    found = json.loads(out)
    assert found["plan"]["pairs"] == 24 and len(found["commands"]) == 10
    first = {"command": f"kit screen {asked.data} --sheet screen.png", "done": True}
    assert found["commands"][0] == first and not found["commands"][-1]["done"]
    assert "predicting 8.0 min" in told and "1 view of each scene left out: spade1: slow" in told


@pytest.mark.usefixtures("fake")
def test_a_detector_reaches_screening_and_stays(asked: Request, empty: Path) -> None:
    with_detector = replace(asked, min_area=16, detector=Detector(on="all"))
    options = "--min-area 16 --detector ukis --detector-on all"
    told = lines_of(with_detector)
    assert told[0] == f"would run: kit screen {asked.data} {options} --sheet screen.png"
    assert told[1].startswith(f"would run: kit prepare {asked.data} {options} --split")
    prepare(asked.data, "work", rule=CloudRule(min_area=16), detector=Detector(on="all"))
    assert lines_of(with_detector)[1] == f"done before: kit prepare {asked.data} {options}"
    assert lines_of(asked)[1] == f"done before: kit prepare {asked.data}"
    for change in ({"detector": Detector()}, {"min_area": 4, "detector": None}):
        named = "--detector" if change.get("detector") else "--min-area"
        with pytest.raises(
            InputError, match=f"were not prepared with this {named}\n.* first run kit prep"
        ):
            lines_of(replace(with_detector, **change))


def test_a_detector_that_is_not_there_is_named_before_anything_is_run(
    asked: Request, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ukis_csmask", None)
    with pytest.raises(InputError, match=r"sar-to-optical-kit\[detector\]"):
        compete(replace(asked, detector=Detector()), report=print)
    assert not any(empty.iterdir())


@pytest.mark.slow
def test_images_of_another_layout_need_no_screening_and_no_split(tmp_path: Path) -> None:
    """What is held out is decided when they are tiles; TEST may be DATA with a test part."""
    os.chdir(tmp_path)
    data = write_pictures(tmp_path / "pictures", 6, 2)
    told = lines_of(Request(data, data, 0.05, "plain"))
    assert told[0] == f"would run: kit prepare {data}"
    assert f"kit plan --hours 0.05 --input {data} " in told[1]
    write_plan(PLAN, tiny_plan("spade2", "p2phd1"))
    told = lines_of(Request(data, data / "testA", 0.05, "plain", source="pairs"))
    assert told[0] == f"would run: kit prepare {data} --source pairs"
    assert any(line.endswith(f"--input {data / 'testA'} --source pairs") for line in told)
    with pytest.raises(InputError, match="has tiles of 32x32, where layout 2022 takes 256"):
        lines_of(Request(data, data, 0.05))
    Path("files.json").write_text("[]")
    with pytest.raises(InputError, match="holds images of another layout"):
        lines_of(Request(data, data, 0.05, "plain", Path("files.json")))
    prepare(data, "work")
    assert f"done before: kit prepare {data}" in lines_of(Request(data, data, 0.05, "plain"))
    other = write_pictures(tmp_path / "other", 2)
    with pytest.raises(InputError, match=f"holds the pairs of {data}, not of {other}"):
        lines_of(Request(other, data, 0.05, "plain"))


@pytest.mark.slow
def test_the_source_is_that_which_tiles_were_made_by(tmp_path: Path) -> None:
    os.chdir(tmp_path)
    data = write_pictures(tmp_path / "pictures", 6)
    mine = Path("mine.toml")
    pairs = resources.files("kit.sources") / "definitions" / "pairs.toml"
    mine.write_text(pairs.read_text())
    prepare(data, "work")
    write_plan(PLAN, tiny_plan("spade2", "p2phd1"))
    asked = Request(data, data, 1.0, "plain")
    assert f"done before: kit prepare {data} --source pairs" in lines_of(
        replace(asked, source="pairs")
    )
    own = replace(asked, source="mine.toml")
    again = rf"not prepared with this --source\n.* first run kit prepare {data} --source mine.toml$"
    with pytest.raises(InputError, match=again):
        lines_of(own)
    prepare(data, "work", source="mine.toml")
    assert f"done before: kit prepare {data} --source mine.toml" in lines_of(own)
    assert f"done before: kit prepare {data}" in lines_of(asked)
    mine.write_text(mine.read_text().replace("B4 = 1, B3 = 2, B2 = 3", "B4 = 3, B3 = 2, B2 = 1"))
    with pytest.raises(InputError, match=again):
        lines_of(own)
    prepare(data, "work", source="mine.toml")
    assert f"done before: kit prepare {data} --source mine.toml" in lines_of(own)


def test_tiles_that_are_official_are_of_their_own_source(asked: Request) -> None:
    named = replace(asked, source="multiearth")
    assert f"done before: kit prepare {asked.data} --source multiearth" in lines_of(named)


def test_what_prepares_again_keeps_what_is_not_asked_for_otherwise(asked: Request) -> None:
    prepare(asked.data, "work", rule=CloudRule(min_area=9), split_by="both", holdout=0)
    again = f"first run kit prepare {asked.data} --min-area 16 --split both --holdout 0"
    with pytest.raises(InputError) as refused:
        lines_of(replace(asked, min_area=16))
    assert refused.value.remedy and refused.value.remedy.endswith(again)
    prepare(asked.data, "work", rule=CloudRule(min_area=9), holdout=2)
    with pytest.raises(InputError, match=r"--min-area 16 --holdout 2$"):
        lines_of(replace(asked, min_area=16))


def test_a_plan_for_other_hours_or_pairs_is_followed_and_said(asked: Request) -> None:
    def told(plan: Plan, hours: float) -> list[str]:
        write_plan(PLAN, plan)
        found = lines_of(replace(asked, hours=hours))
        return [line for line in found if line.endswith("--measure mae --overwrite")]

    pairs = len(train_pairs(read_pairs(Path("work/pairs.parquet")), 2))
    plan = replace(tiny_plan("spade2", "p2phd1"), pairs=pairs)
    assert not told(plan, 1.0) and not told(plan, 1.2)  # some were spent before the plan
    again = f"kit plan --hours {{}} --input {asked.test} --measure mae --overwrite"
    (line,) = told(plan, 8.0)
    start = "plan.toml: is for 60.0 min, and is followed as it is; for 8.0 h first: "
    assert line == start + again.format(8)
    (line,) = told(replace(plan, pairs=7), 1.0)
    start = f"plan.toml: is for 7 pairs, and is followed as it is; for {pairs} first: "
    assert line == start + again.format(1)


def test_tiles_that_come_or_go_after_they_were_prepared_are_counted(trained: Path) -> None:
    """And those that cannot be read were counted, too."""
    data = trained / "data"
    next((data / "sent2").glob("*_B3_*")).write_bytes(b"no tile")
    prepare(data, "work", holdout=0)
    request = Request(data, trained / "test", 1.0, "plain")
    told = "has {} optical scenes, and the tables of work are of 30 and stay as they are"
    assert not any("optical scenes" in line for line in lines_of(request))
    optical(data, key(50))
    (line,) = [line for line in lines_of(request) if told.format(31) in line]
    assert line.endswith(f"for those of now first: kit prepare {data} --holdout 0")
    assert any(line.startswith("done before: kit prepare") for line in lines_of(request))


def test_radar_to_predict_is_of_the_size_of_most_tiles(tmp_path: Path) -> None:
    radar(tmp_path, key(0))
    for path in (tmp_path / "sent1").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        find_radar(tmp_path)
    radar(tmp_path, key(1), size=48)
    for place in (2, 3):
        radar(tmp_path, key(place))
    found = find_radar(tmp_path)
    assert (found.number, found.height, found.width, found.side) == (4, 32, 32, 32)
