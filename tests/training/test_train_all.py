"""Several trainings: one that fails does not stop the others, and a signal reaches them all."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import kit.cli.console
import kit.cli.main
import kit.training.child
import kit.training.train_all
from kit.errors import InputError
from kit.planning.plan import Plan, write_plan
from kit.planning.plan import Training as Planned
from kit.runs.folder import finished, read_variant
from kit.storage.lock import holder, lock
from kit.training.checkpoint import checkpoints
from kit.training.child import as_child, for_child
from kit.training.train_all import Training, train_all
from kit.variants.registry import of_sets
from tests.helpers.variants import TINY

pytestmark = pytest.mark.multiprocess

SHORT = ("epochs=1", "decay_epochs=0")


@pytest.mark.slow
def test_one_that_fails_does_not_stop_the_others(trained: Path) -> None:
    Path("bad.toml").write_text('base = "p2phd1"\nbatch = 64\naccumulate = 64\n')
    settings = [part for text in (*TINY[:2], *TINY[3:], *SHORT) for part in ("--set", text)]
    names = ["bad.toml", "p2phd1"]
    command = [sys.executable, "-m", "kit", "train-all", *names, "--runs", "all", "--quiet"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "batch=64 is more than the 24 pairs to train on" in done.stderr
    assert finished(Path("all/p2phd1"), read_variant(Path("all/p2phd1")))


@pytest.mark.slow
def test_finished_ones_are_passed_over_and_gpus_share_the_rest(trained: Path, monkeypatch) -> None:
    told: list[str] = []
    used: list[tuple[str, str | None]] = []
    begin = kit.training.train_all._start

    def start(
        command: list[str], folder: Path, card: str | None, *rest: Any
    ) -> subprocess.Popen[bytes]:
        used.append((folder.name, card))
        return begin(command, folder, card, *rest)

    monkeypatch.setattr(kit.training.train_all, "_start", start)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    names = ("p2phd1", "spade2")
    where = {"work": Path("work"), "runs": Path("runs")}
    outcomes = train_all(names, settings=TINY, gpus=2, report=told.append, **where)
    assert [(each.variant, each.exit_code) for each in outcomes] == [("p2phd1", 0), ("spade2", 0)]
    assert used == [("p2phd1", "4"), ("spade2", "6")]
    # The fixture has trained both.
    assert "finished before, at step" in Path("runs/p2phd1/train.log").read_text()


def test_on_several_gpus_the_run_on_all_pairs_waits_for_its_folds(
    trained: Path, monkeypatch
) -> None:
    """They tell it when to end."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    beside: dict[str, set[str]] = {}

    def start(command: list[str], folder: Path, *rest: object) -> subprocess.Popen[bytes]:
        beside[folder.name] = {run for run, each in running.items() if each.poll() is None}
        running[folder.name] = subprocess.Popen(["sleep", "0.2"])
        return running[folder.name]

    monkeypatch.setattr(kit.training.train_all, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(kit.training.train_all, "_start", start)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    where = {"work": Path("work"), "runs": Path("none")}
    names = ("p2phd1", "spade2")
    train_all(names, folds=3, all_pairs=True, gpus=2, report=print, **where)
    first = [f"p2phd1.fold{fold}" for fold in (1, 2, 3)]
    assert list(beside)[:5] == [*first, "spade2.fold1", "p2phd1"]
    assert beside["p2phd1.fold2"] == {"p2phd1.fold1"}
    for name in names:
        assert not any(run.startswith(f"{name}.fold") for run in beside[name])


def test_a_run_on_all_pairs_does_not_start_where_a_fold_has_failed(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end with its schedule, and be finished when the fold is trained again."""

    def start(command: list[str], folder: Path, *rest: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["false" if folder.name == "p2phd1.fold2" else "true"])

    monkeypatch.setattr(kit.training.train_all, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(kit.training.train_all, "_start", start)
    told: list[str] = []
    where = {"work": Path("work"), "runs": Path("none")}
    names = ("p2phd1", "spade2")
    outcomes = train_all(names, folds=2, all_pairs=True, report=told.append, **where)
    codes = {each.variant: each.exit_code for each in outcomes}
    assert codes == {
        "p2phd1.fold1": 0, "p2phd1.fold2": 1, "p2phd1": 1,
        "spade2.fold1": 0, "spade2.fold2": 0, "spade2": 0,
    }  # fmt: skip
    assert "p2phd1: not started, since p2phd1.fold2 failed; run this again" in told
    assert "p2phd1: starting" not in told and "spade2: starting" in told


@pytest.mark.parametrize("compile", ["--compile", "--no-compile"])
def test_the_options_of_a_training_reach_it(trained: Path, compile: str, monkeypatch) -> None:
    begun: list[list[str]] = []

    def start(command: list[str], *rest: object) -> subprocess.Popen[bytes]:
        begun.append(command)
        return subprocess.Popen(["true"])

    monkeypatch.setattr(kit.training.train_all, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(kit.training.train_all, "_start", start)
    monkeypatch.setattr(kit.cli.console.stderr, "quiet", False)
    line = f"train-all p2phd1 {compile} --tensorboard --workers 2 --note wider --quiet"
    monkeypatch.setattr(sys, "argv", ["kit", *line.split()])
    with pytest.raises(SystemExit) as end:
        kit.cli.main.main()
    assert not end.value.code
    given = {"--compile", "--no-compile", "--tensorboard", "--quiet"} & set(begun[0])
    assert given == {compile, "--tensorboard", "--quiet"}
    for option, value in (("--workers", "2"), ("--note", "wider")):
        assert begun[0][begun[0].index(option) + 1] == value


@pytest.mark.parametrize(
    ("asked", "settings", "instead"),
    [
        ("best", (), "kit train-all small"),
        ("server", (), "kit train-all trees1m unet2m nafnet2m"),
        ("best", ("width=8",), ""),
        ("small", (), ""),
        ("trees1", (), ""),
    ],
)
def test_networks_for_more_pairs_than_there_are_are_told(
    trained: Path, asked: str, settings: tuple[str, ...], instead: str, monkeypatch
) -> None:
    monkeypatch.setattr(kit.training.train_all, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(kit.training.train_all, "_start", lambda *rest: subprocess.Popen(["true"]))
    for few, planned in ((True, False), (False, False), (True, True)):
        monkeypatch.setattr(kit.training.train_all, "FEW_PAIRS", 200 if few else 24)
        told: list[str] = []
        names = [Training(name, (), 9.0 if planned else None) for name in of_sets([asked])]
        where = {"work": Path("work"), "runs": Path("runs")}
        train_all(names, settings=settings, report=told.append, **where)
        found = [line for line in told if "24 pairs are few" in line]
        assert len(found) == (bool(instead) and few and not planned)
        assert all(instead in line for line in found)


def test_more_gpus_than_there_are_is_an_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    with pytest.raises(InputError, match="there are 2"):
        train_all(("p2phd1",), gpus=3, work=tmp_path, runs=tmp_path / "runs", report=print)


def test_a_wrong_name_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="spade9"):
        train_all(("p2phd1", "spade9"), work=tmp_path, runs=tmp_path / "runs", report=print)
    assert not (tmp_path / "runs").exists()


def test_folds_that_the_pairs_do_not_have_begin_nothing(trained: Path) -> None:
    where = {"work": Path("work"), "runs": Path("runs")}
    before = [*Path("runs").iterdir()]
    with pytest.raises(InputError, match=r"90 folds of pairs of \d+ places"):
        train_all(["unet2"], folds=90, report=print, **where)
    assert [*Path("runs").iterdir()] == before


@pytest.mark.slow
def test_a_signal_is_handed_on_and_what_runs_has_saved(trained: Path) -> None:
    metrics = Path("all/p2phd1/metrics.jsonl")

    def stop() -> None:
        deadline = time.monotonic() + 120
        while not metrics.exists() or not metrics.read_text().count("\n") > 1:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    settings = (*TINY, "epochs=200")
    with pytest.raises(KeyboardInterrupt):
        train_all(
            ("p2phd1", "spade2"),
            settings=settings,
            work=Path("work"),
            runs=Path("all"),
            report=print,
        )
    assert checkpoints(Path("all/p2phd1/checkpoints"))
    assert not Path("all/spade2").exists()


def test_two_of_one_name_begin_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="same: two of these variants have this name"):
        train_all(
            ("spade2", "spade3"),
            settings=("name=same",),
            work=tmp_path,
            runs=tmp_path,
            report=print,
        )
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_trainings_end_with_it_and_the_next_one_goes_on(trained: Path) -> None:
    settings = [part for text in (*TINY, "epochs=400") for part in ("--set", text)]
    command = [sys.executable, "-m", "kit", "train-all", "p2phd1", "--runs", "all", *settings]
    metrics = Path("all/p2phd1/metrics.jsonl")

    def steps() -> int:
        return len(metrics.read_bytes().splitlines()) if metrics.exists() else 0

    def wait_for(steps_wanted: int) -> None:
        deadline = time.monotonic() + 120
        while steps() < steps_wanted:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(3)
    first.kill()
    first.wait()
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(steps() + 3)
    assert holder(Path("all/p2phd1")) is not None
    second.send_signal(signal.SIGTERM)
    told = second.communicate(timeout=120)[1]
    assert "resuming from step" in told and "in use" not in told.replace("device: in use", "")
    assert second.returncode == 130
    deadline = time.monotonic() + 60
    while holder(Path("all/p2phd1")) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert checkpoints(Path("all/p2phd1/checkpoints"))


def test_a_card_is_used_by_one_training_at_a_time(tmp_path: Path, monkeypatch) -> None:
    for name, value in for_child(tmp_path, "1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(kit.machine.parent, "end_with", lambda parent: None)
    card = Path(for_child(tmp_path, "1")["KIT_TRAIN_ALL_CARD"])
    assert card != Path(for_child(tmp_path, "2")["KIT_TRAIN_ALL_CARD"])
    told: list[str] = []
    heard = threading.Event()

    def report(line: str) -> None:
        told.append(line)
        heard.set()

    with lock(card):
        waiting = threading.Thread(target=lambda: as_child(report).__enter__(), daemon=True)
        waiting.start()
        assert heard.wait(20) and "process" in told[0]
        waiting.join(0.1)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_training_whose_parent_is_gone_does_not_start(tmp_path: Path, monkeypatch) -> None:
    for name, value in for_child(tmp_path, None).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KeyboardInterrupt), as_child(print):
        pass


def test_a_plan_gives_each_variant_its_settings_folds_and_time(trained: Path, monkeypatch) -> None:
    begun: list[tuple[list[str], float | None]] = []

    def start(command: list[str], folder: Path, card: str | None, planned_s: float | None):
        begun.append((command, planned_s))
        return subprocess.Popen(["true"])

    monkeypatch.setattr(kit.training.train_all, "_POLL_SECONDS", 0.005)
    monkeypatch.setattr(kit.training.train_all, "_start", start)
    settings = {"width": 2, "norm": "batch"}
    trainings = (Planned("p2phd1", settings, 3.0), Planned("trees1", {}, 1.0), Planned("unet1"))
    plan = Plan(1.0, "here", 24, "mae", 2, True, 1, False, 0, trainings)
    write_plan(Path("plan.toml"), plan)
    monkeypatch.setattr(sys, "argv", ["kit", "train-all", "--plan", "plan.toml", "--quiet"])
    with pytest.raises(SystemExit) as end:
        kit.cli.main.main()
    assert not end.value.code
    assert [planned for _, planned in begun] == [
        60.0,
        60.0,
        60.0,
        20.0,
        20.0,
        20.0,
        None,
        None,
        None,
    ]
    first, _, alone, *_, last, _, _, _, _ = (" ".join(command) for command, _ in begun)
    assert "p2phd1 --work work --runs runs --set width=2 --set norm=batch --fold 1/2" in first
    assert alone.endswith("p2phd1 --work work --runs runs --set width=2 --set norm=batch")
    assert last.endswith("trees1 --work work --runs runs --fold 2/2")
    begun.clear()  # what is given here counts more than what the plan says
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--set", "width=4", "--set", "epochs=1"])
    with pytest.raises(SystemExit):
        kit.cli.main.main()
    assert "--set width=2 --set norm=batch --set width=4 --set epochs=1" in " ".join(begun[0][0])
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--folds", "3"])
    with pytest.raises(SystemExit) as end:
        kit.cli.main.main()
    assert end.value.code == 2


def test_trainings_that_take_longer_than_planned_are_told_of_once() -> None:
    told: list[str] = []
    pace = kit.training.train_all._Pace(told.append)
    pace.ended(100.0, 90.0, more=True)
    pace.ended(None, 900.0, more=True)
    assert told == []
    pace.ended(100.0, 210.0, more=True)
    pace.ended(100.0, 300.0, more=True)
    assert len(told) == 1 and "1.5 times as long as planned" in told[0]
    assert "remove a [[train]] from the plan" in told[0]
