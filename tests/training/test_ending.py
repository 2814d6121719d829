"""A run on all pairs ends where its folds erred least."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kit.training.trainer
from kit.errors import BusyError, InputError
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, write_pairs
from kit.runs.folder import BEST, LAST, finished, other_settings, read_variant
from kit.runs.status import status
from kit.runs.weights import read_weights
from kit.training.train import Run, train
from kit.training.validator import Validator
from kit.variants.settings import Variant, as_fold
from tests.helpers.folders import copy_of
from tests.helpers.variants import tiny

pytestmark = pytest.mark.xdist_group("ending")

LONG = ("epochs=3", "decay_epochs=3", "validations=6", "ema=0.9")
FOLDS = 2

# The MAE of each fold after each epoch, of the averaged weights; the third is the best of both.
BEYOND_CHANCE = ((0.5, 0.4, 0.2, 0.3, 0.4, 0.4), (0.6, 0.4, 0.2, 0.3, 0.4, 0.5))
BY_CHANCE = ((0.5, 0.4, 0.2, 0.3, 0.4, 0.3), (0.6, 0.4, 0.2, 0.3, 0.4, 0.19))
RISING = ((0.5, 0.4, 0.3, 0.3, 0.2, 0.2), (0.6, 0.5, 0.5, 0.4, 0.4, 0.3))


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, ...]]:
    """What each fold errs after each epoch, whatever the processor."""
    scripted = list(BEYOND_CHANCE)
    candidates = Validator._candidates

    def known(self: Validator, state: Any, signals: list[int]) -> Any:
        mae = scripted[self.variant.fold - 1][state.epoch - 1]
        found = candidates(self, state, signals)
        # The latest weights are always better, but are not those of a run without a hold-out.
        return [
            replace(each, scores=replace(each.scores, mae=mae if each.name == "average" else 0.1))
            for each in found
        ]

    monkeypatch.setattr(Validator, "_candidates", known)
    return scripted


@pytest.fixture
def work(trained: Path) -> None:
    prepare(Path("data"), Path("work"), holdout=0)


def variant(*settings: str) -> Variant:
    return tiny("unet2", *LONG, *settings)


def of(one: Variant, **options: Any) -> Run:
    return train(one, work=Path("work"), runs=Path("runs"), **options)


def train_folds(*settings: str) -> None:
    for fold in range(1, FOLDS + 1):
        of(as_fold(variant(*settings), fold, FOLDS))


def why_not(*settings: str, **options: Any) -> str:
    """Why a run on all pairs ends with its schedule; "" where it does not, or says nothing."""
    told: list[str] = []
    of(
        variant(*settings), overwrite=True, **options,
        watch=lambda record: told.append(record.get("note", "")),
    )  # fmt: skip
    lines = [line for line in told if ": ends with its schedule; " in line]
    return lines[0].partition("schedule; ")[2] if lines else ""


@pytest.mark.slow
def test_it_ends_where_its_folds_erred_least(work: None, errors: list[Any]) -> None:
    train_folds()
    told: list[dict[str, Any]] = []
    run = of(variant(), watch=told.append)
    assert "runs/unet2: ends after 3 of 6 epochs, where its folds erred least" in [
        record.get("note") for record in told
    ]
    assert read_variant(run.folder).ends_after == 3
    assert finished(run.folder, variant("ends_after=3"))
    assert [read_weights(run.folder / name).facts["epoch"] for name in (BEST, LAST)] == [3, 3]
    (own,) = (each for each in status(Path("runs")) if each.variant == "unet2")
    assert own.state_text == "finished" and own.step == own.steps == run.steps
    # Its schedule is that of its folds: it is what a longer training was after as many epochs.
    as_asked = of(variant("name=asked", "ends_after=3"))
    assert weights(as_asked) == weights(run) != weights(of(variant("name=whole", "ends_after=6")))

    of(variant(), watch=told.append)
    assert "finished before" in told[-1]["note"]
    assert not other_settings(run.folder, variant())  # as a plan asks
    with pytest.raises(BusyError, match="started with ends_after=3, not 5"):
        of(variant("ends_after=5"))


@pytest.mark.slow
def test_a_killed_run_ends_where_it_would_have(
    work: None, errors: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_folds()
    monkeypatch.setattr(kit.training.trainer, "CHECKPOINT_SECONDS", 0.0)

    def kill(record: dict[str, Any]) -> None:
        if record.get("epoch", 0) == 1:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        of(variant(), watch=kill)
    errors[:] = RISING
    for fold in range(1, FOLDS + 1):
        of(as_fold(variant(), fold, FOLDS), overwrite=True)
    told: list[Any] = []
    run = of(variant(), watch=lambda record: told.append(record.get("note")))
    assert "runs/unet2: ends after 3 of 6 epochs, as it was started" in told
    assert read_variant(run.folder).ends_after == 3
    assert weights(run) == weights(of(variant("name=straight", "ends_after=3")))


@pytest.mark.slow
@pytest.mark.parametrize("scripted", [BY_CHANCE, RISING])
def test_it_ends_with_its_schedule_where_folds_gain_nothing_before(
    work: None, errors: list[Any], scripted: tuple[Any, ...]
) -> None:
    errors[:] = scripted
    train_folds()
    assert why_not() == "unet2: its folds erred no less before, by more than their standard error"


@pytest.mark.slow
def test_folds_that_cannot_tell_are_told(work: None, errors: list[Any], tmp_path: Path) -> None:
    train_folds()
    assert why_not() == ""
    fold = "runs/unet2.fold1: "
    assert why_not("epochs=2", "decay_epochs=4") == f"{fold}was trained for 3 + 3 epochs"
    assert why_not("width=3") == f"{fold}was trained with width=2, but unet2 with width=3"
    start = of(variant("name=start", "ends_after=1")).folder / BEST
    assert why_not(init=start) == f"{fold}was started from other weights"
    for change, problem in _changes(tmp_path):
        assert problem in why_not(), change


def _changes(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """What may be wrong with folds, each in a copy of the folder, and what is said of it."""
    first, second = Path("runs/unet2.fold1"), Path("runs/unet2.fold2")
    with copy_of(Path.cwd(), tmp_path / "lost"):
        shutil.rmtree(second)
        yield "a fold is missing", "lacks 1 of 2 folds of unet2: 2"
    with copy_of(Path.cwd(), tmp_path / "empty"):
        (second / "metrics.jsonl").write_text("")
        yield "a fold has no metrics", "not all of its folds were validated at the end"
    with copy_of(Path.cwd(), tmp_path / "begun"):
        for folder in (first / "checkpoints").iterdir():
            (folder / "state.json").unlink()
        yield "a fold is not finished", "unet2.fold1: is not finished"
    with copy_of(Path.cwd(), tmp_path / "fewer"):
        rows = read_pairs(Path("work/pairs.parquet"))
        write_pairs(Path("work/pairs.parquet"), rows[1:])
        yield "there are other pairs", "unet2.fold1: was trained on other pairs"


@pytest.mark.slow
def test_a_hold_out_says_itself_which_weights_are_best(trained: Path, errors: list[Any]) -> None:
    train_folds()
    assert why_not() == "" and read_variant(Path("runs/unet2")).ends_after == 0


@pytest.mark.slow
def test_the_error_is_that_which_counts(work: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the server's measure it is the MSE."""
    candidates = Validator._candidates

    def known(self: Validator, state: Any, signals: list[int]) -> Any:
        row = BEYOND_CHANCE[self.variant.fold - 1]
        scores = {"mae": row[-state.epoch], "mse": row[state.epoch - 1]}
        found = candidates(self, state, signals)
        return [replace(each, scores=replace(each.scores, **scores)) for each in found]

    monkeypatch.setattr(Validator, "_candidates", known)
    for loss, end in (("mse", 3), ("l1", 4)):
        settings = (f"name={loss}", f"pixel_loss={loss}")
        train_folds(*settings)
        assert read_variant(of(variant(*settings)).folder).ends_after == end


def test_hours_and_an_end_are_refused_together(trained: Path) -> None:
    with pytest.raises(InputError, match="ends_after=3 and --hours both say when it ends"):
        of(variant("ends_after=3"), hours=1.0)


def test_it_ends_within_its_schedule() -> None:
    with pytest.raises(InputError, match="ends_after is 7") as error:
        variant("ends_after=7")
    assert "at most 6, the epochs of its schedule" in error.value.remedy
    some = variant("ends_after=4", "validations=3")
    assert [some.validates_after(epoch) for epoch in range(4)] == [False, True, False, True]
    assert (some.total_validations, some.trained_epochs) == (2, 4)
    odd = variant("ends_after=5", "validations=3")
    assert [odd.validates_after(epoch) for epoch in range(5)] == [False, True, False, True, True]
    assert odd.total_validations == 3


def weights(run: Run) -> dict[str, list[float]]:
    tensors = read_weights(run.folder / BEST).tensors()
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}
