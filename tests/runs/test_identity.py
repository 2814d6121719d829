"""Files that have changed places between runs are named, and no training goes on with them."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.errors import BusyError, InputError
from kit.pairs.prepare import prepare
from kit.runs.folder import CONFIG, read_variant
from kit.runs.training_pairs import TRAINING_PAIRS, read_training_pairs
from kit.screening.rule import CloudRule
from kit.training.checkpoint import checkpoints
from kit.training.train import train
from kit.training.train_step import TrainStep
from kit.verification.verify import verify
from tests.helpers.folders import copy_of
from tests.helpers.sealed import rewrite
from tests.helpers.variants import tiny

pytestmark = pytest.mark.xdist_group("identity")

RUN = Path("runs/p2phd1")
TWIN = Path("runs/twin")


def again(*settings: str, work: str = "work") -> list[str]:
    """The notes of the run of p2phd1, typed again."""
    told: list[str] = []
    train(
        tiny("p2phd1", *settings),
        work=work,
        runs=RUN.parent,
        watch=lambda record: told.append(record.get("note", "")),
    )
    return told


def newest(run: Path) -> Path:
    return checkpoints(run / "checkpoints")[0]


def exchange(one: Path, other: Path) -> None:
    aside = one.rename(one.with_name("aside"))
    other.rename(one)
    aside.rename(other)


@pytest.fixture(scope="module")
def twin_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the same network beside that of p2phd1."""
    with copy_of(trained_once, tmp_path_factory.mktemp("twin") / "trained") as root:
        train(tiny("p2phd1", "name=twin", "seed=3"), work="work", runs="runs")
    return root


@pytest.fixture
def twin(twin_once: Path, tmp_path: Path) -> Iterator[Path]:
    """That run, in a copy of `twin_once` to work in, as the current folder."""
    with copy_of(twin_once, tmp_path / "twin"):
        yield TWIN


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_skipped(twin: Path) -> None:
    path = newest(RUN)
    exchange(path, newest(twin))
    (damage,) = verify([RUN]).damaged
    assert damage.path == str(path) and damage.problem == "is of the run twin"
    told = again()
    assert f"skipping checkpoint {path}: is of the run twin" in told


def test_where_all_are_of_another_run_it_is_refused(twin: Path) -> None:
    exchange(RUN / "checkpoints", twin / "checkpoints")
    with pytest.raises(InputError, match=r"is of the run twin(.|\n)*its own run(.|\n)*--overwrite"):
        again()


@pytest.mark.slow
def test_a_checkpoint_of_a_run_of_this_name_is_told_by_its_settings(trained: Path) -> None:
    other = train(tiny("p2phd1", "seed=3", "width=4"), work="work", runs="others").folder
    path = newest(RUN)
    exchange(path, newest(other))
    (damage,) = verify([RUN]).damaged
    assert damage.problem == "is of a run of this name with width=4, not 2, seed=3, not 0"
    assert any(note.startswith(f"skipping checkpoint {path}") for note in again())


@pytest.mark.slow
def test_a_checkpoint_of_other_pairs_is_refused(trained: Path) -> None:
    prepare(Path("data"), Path("other"), rule=CloudRule(), seed=7)
    other = train(tiny("p2phd1"), work="other", runs="others").folder
    exchange(RUN / "checkpoints", other / "checkpoints")
    with pytest.raises(InputError, match="a run of this name with other pairs"):
        again()


def test_a_configuration_that_is_lost_comes_back_from_a_checkpoint(trained: Path) -> None:
    path, before = RUN / CONFIG, (RUN / CONFIG).read_bytes()
    prepare(Path("data"), Path("other"), rule=CloudRule(), seed=7)
    path.unlink()
    with pytest.raises(BusyError, match="started with other data"):
        again(work="other")
    path.unlink()
    with pytest.raises(BusyError, match="started with seed=0, not 3"):
        again("seed=3")
    path.unlink()
    assert f"{path}: was missing, and is as {newest(RUN).name} has it" in again()
    assert path.read_bytes() == before


def test_checkpoints_of_an_earlier_kit_are_read(trained: Path) -> None:
    for path in checkpoints(RUN / "checkpoints"):
        rewrite(path / "state.json", without=("config",))
    assert not verify([RUN]).damaged
    assert any("finished before" in note for note in again())


@pytest.mark.slow
def test_a_run_may_go_on_in_other_parts_from_checkpoints_of_before(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainStep.__call__
    parts: list[int] = []

    def take(self, sample):
        parts.append(self.variant.accumulate)
        if len(parts) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, sample)

    monkeypatch.setattr(TrainStep, "__call__", take)
    with pytest.raises(KeyboardInterrupt):
        again("name=parts")
    run = RUN.with_name("parts")
    for path in checkpoints(run / "checkpoints"):
        rewrite(path / "state.json", without=("config",))
    assert "resuming from step 7" in again("name=parts", "accumulate=2", "clip=5")
    assert parts == [1] * 7 + [2] * 5
    assert json.loads((run / CONFIG).read_text())["variant"]["accumulate"] == 2
    assert not verify([run]).damaged


@pytest.mark.slow
def test_exchanged_configurations_are_named(twin: Path) -> None:
    exchange(RUN / CONFIG, twin / CONFIG)
    with pytest.raises(InputError, match=r"config\.json: is of the run twin(.|\n)*runs/twin"):
        read_variant(RUN)
    with pytest.raises(InputError, match="is of the run twin"):
        again()
    found = {(each.path, each.problem) for each in verify(["runs"]).damaged}
    assert (str(RUN / CONFIG), "is of the run twin") in found
    assert (str(twin / CONFIG), "is of the run p2phd1") in found


def test_exchanged_training_pairs_are_named_and_written_again(twin: Path) -> None:
    path, before = RUN / TRAINING_PAIRS, (RUN / TRAINING_PAIRS).read_bytes()
    exchange(path, twin / TRAINING_PAIRS)
    with pytest.raises(InputError, match=r"pairs\.json: is of the run twin"):
        read_training_pairs(RUN)
    assert str(path) in {each.path for each in verify([RUN]).damaged}
    again()
    assert path.read_bytes() == before and read_training_pairs(RUN)


def test_training_pairs_of_a_run_of_this_name_on_other_pairs_are_named(trained: Path) -> None:
    rewrite(RUN / TRAINING_PAIRS, {"pairs_sha256": "0" * 64})
    with pytest.raises(InputError, match="is of other pairs than the run was trained on"):
        read_training_pairs(RUN)
    rewrite(RUN / TRAINING_PAIRS, without=("run", "pairs_sha256"))  # as kits before 0.6.0 did
    assert read_training_pairs(RUN)


@pytest.mark.slow
def test_training_pairs_beside_a_copy_of_weights_are_those_of_the_weights(twin: Path) -> None:
    copy = Path("copy")
    copy.mkdir()
    for run, file in ((RUN, "weights.safetensors"), (RUN, TRAINING_PAIRS)):
        shutil.copy(run / file, copy)
    init = copy / "weights.safetensors"
    assert not verify([copy]).damaged
    train(tiny("p2phd1", "name=tuned"), work="work", runs="runs", init=init)
    shutil.copy(twin / TRAINING_PAIRS, copy)
    with pytest.raises(InputError, match="is of the run twin"):
        train(tiny("p2phd1", "name=other"), work="work", runs="runs", init=init)
