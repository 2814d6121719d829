"""A training that ends when the hold-out has not improved for a while, wherever it is killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kit.training.trainer
from kit.errors import BusyError
from kit.runs.folder import BEST, LAST, finished
from kit.runs.records import read_records
from kit.runs.status import status
from kit.runs.weights import read_weights
from kit.training.train import train
from kit.training.validator import Validator
from kit.variants.registry import SPADE1
from kit.variants.settings import Variant
from tests.helpers.variants import tiny

# The MAE after each epoch: the best is that of the second, and nothing later comes near.
SCRIPT = (0.5, 0.3, 0.4, 0.35, 0.6, 0.7, 0.8)
PATIENT = ("epochs=7", "decay_epochs=0", "validations=7", "patience=2", "name=patient")


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validations whose MAE does not depend on the processor."""
    candidates = Validator._candidates

    def known(self: Validator, state: Any, signals: list[int]) -> Any:
        mae = SCRIPT[state.epoch - 1]
        found = candidates(self, state, signals)
        return [replace(each, scores=replace(each.scores, mae=mae)) for each in found]

    monkeypatch.setattr(Validator, "_candidates", known)


def of(variant: Variant, runs: str, **options: Any) -> Any:
    return train(variant, work=Path("work"), runs=Path(runs), **options)


@pytest.mark.slow
def test_it_ends_after_so_many_validations_without_a_better_one(trained: Path) -> None:
    variant = tiny("p2phd1", *PATIENT)
    told: list[dict[str, Any]] = []
    run = of(variant, "runs", watch=told.append)
    records = read_records(run.folder)
    scored = [record["holdout_mae"] for record in records if "holdout_mae" in record]
    assert scored == [0.5, 0.3, 0.4, 0.35] and run.mae == 0.3
    assert records[-1]["patience"] == 2 and records[-1]["step"] == run.steps
    assert finished(run.folder, variant)
    (shown,) = (each for each in status(Path("runs")) if each.variant == "patient")
    assert shown.state == "finished" and shown.steps and shown.step == shown.steps * 4 // 7
    assert read_weights(run.folder / BEST).facts["epoch"] == 2
    assert read_weights(run.folder / LAST).facts["epoch"] == 4
    of(variant, "runs", watch=told.append)
    assert "finished before" in told[-1]["note"]
    (run.folder / LAST).unlink()
    of(variant, "runs")
    assert read_weights(run.folder / LAST).facts["epoch"] == 4


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_ends_where_it_would_have(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = tiny("p2phd1", *PATIENT)
    straight = of(variant, "straight")
    monkeypatch.setattr(kit.training.trainer, "CHECKPOINT_SECONDS", 0.0)
    wanted = [digest(straight.folder / name) for name in (BEST, LAST)]
    for at in range(straight.steps - 3, straight.steps + 1):
        seen = 0

        def kill(record: dict[str, Any], at: int = at) -> None:
            nonlocal seen
            seen += "patience" in record
            if record.get("step", 0) >= at and "holdout_mae" in record:
                raise RuntimeError("killed")

        runs = f"cut{at}"
        with pytest.raises(RuntimeError, match="killed"):
            of(variant, runs, watch=kill)
        assert not seen and not finished(Path(runs, "patient"), variant)
        run = of(variant, runs)
        assert run.steps == straight.steps
        assert [digest(run.folder / name) for name in (BEST, LAST)] == wanted


def digest(path: Path) -> str:
    return read_weights(path).sha256


def test_patience_is_a_setting_like_any_other(trained: Path) -> None:
    of(tiny("p2phd1", "epochs=1", "decay_epochs=0", "patience=2"), "fresh")
    with pytest.raises(BusyError, match="started with patience=2, not 0"):
        of(tiny("p2phd1", "epochs=1", "decay_epochs=0"), "fresh")


def test_patience_counts_validations_since_the_best() -> None:
    variant = replace(SPADE1, epochs=6, decay_epochs=4, validations=5, patience=2)
    assert [epoch for epoch in range(12) if variant.is_over(epoch, 2)] == [6, 7, 8, 9, 10, 11]
    assert not variant.is_over(9, None) and not variant.is_over(9, 8) and variant.is_over(10, 8)
    assert not replace(variant, patience=0).is_over(9, 0)
