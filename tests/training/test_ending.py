"""A run on all pairs ends where its folds erred least."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kit.training.trainer
from kit.errors import BusyError, InputError
from kit.pairs.prepare import prepare
from kit.runs.folder import BEST, LAST, finished, other_settings, read_variant
from kit.runs.status import status
from kit.runs.weights import read_weights
from kit.training.train import Run, train
from kit.training.validator import Validator
from kit.variants.settings import Variant, as_fold
from tests.helpers.folders import copy_of
from tests.helpers.variants import tiny

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ending")]

LONG = ("epochs=3", "decay_epochs=3", "validations=6", "ema=0.9")
FOLDS = 2

# The MAE of each fold after each epoch, of the averaged weights; the third is the best of both.
BEYOND_CHANCE = ((0.5, 0.4, 0.2, 0.3, 0.4, 0.4), (0.6, 0.4, 0.2, 0.3, 0.4, 0.5))
BY_CHANCE = ((0.5, 0.4, 0.2, 0.3, 0.4, 0.3), (0.6, 0.4, 0.2, 0.3, 0.4, 0.2))
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


def end_of(*settings: str) -> int:
    """The epochs after which a run on all pairs ends."""
    return read_variant(of(variant(*settings), overwrite=True).folder).ends_after


def test_it_ends_where_its_folds_erred_least(work: None, errors: list[Any]) -> None:
    train_folds()
    told: list[dict[str, Any]] = []
    run = of(variant(), watch=told.append)
    assert "runs/unet2: ends after 3 of 6 epochs, where its folds erred least" in [
        record.get("note") for record in told
    ]
    assert read_variant(run.folder).ends_after == 3 and finished(
        run.folder, variant("ends_after=3")
    )
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
    errors[:] = RISING  # what was decided stays
    run = of(variant())
    assert read_variant(run.folder).ends_after == 3
    assert weights(run) == weights(of(variant("name=straight", "ends_after=3")))


@pytest.mark.parametrize("scripted", [BY_CHANCE, RISING])
def test_it_ends_with_its_schedule_where_the_folds_do_not_tell(
    work: None, errors: list[Any], scripted: tuple[Any, ...]
) -> None:
    errors[:] = scripted
    train_folds()
    assert end_of() == 0


def test_folds_of_another_kind_tell_nothing(work: None, errors: list[Any], tmp_path: Path) -> None:
    train_folds()
    assert end_of() == 3
    assert end_of("epochs=2", "decay_epochs=4") == end_of("width=3") == 0
    for change in _changes(tmp_path):
        assert end_of() == (3 if change == "nothing" else 0), change


def _changes(tmp_path: Path) -> Iterator[str]:
    """What may be wrong with folds, each in a copy of the folder."""
    with copy_of(Path.cwd(), tmp_path / "same"):
        yield "nothing"
    with copy_of(Path.cwd(), tmp_path / "lost"):
        (Path("runs/unet2.fold2/config.json")).unlink()
        yield "a fold without its configuration"
    with copy_of(Path.cwd(), tmp_path / "empty"):
        Path("runs/unet2.fold2/metrics.jsonl").write_text("")
        yield "a fold without its metrics"
    with copy_of(Path.cwd(), tmp_path / "begun"):
        for folder in Path("runs/unet2.fold1/checkpoints").iterdir():
            (folder / "state.json").unlink()
        yield "a fold that is not finished"
    with copy_of(Path.cwd(), tmp_path / "held"):
        prepare(Path("data"), Path("work"), holdout=4)
        yield "a hold-out, which tells it"


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
