"""The estimate of a whole training: told early, corrected once, on a clock of the test's own."""

from pathlib import Path

import pytest

import kit.training.eta
from kit.training.eta import TimeEstimate
from kit.training.train import train
from tests.helpers.variants import tiny


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(kit.training.eta.time, "monotonic", lambda: now[0])
    return now


def step(estimate: TimeEstimate, clock: list[float], seconds: float) -> None:
    clock[0] += seconds
    estimate.step_ended()


def test_a_long_run_is_told_of_after_a_hundred_steps(clock: list[float]) -> None:
    told: list[float] = []
    estimate = TimeEstimate(1000, 4, 5.0, told.append)
    step(estimate, clock, 60.0)  # warms up
    for _ in range(98):
        step(estimate, clock, 2.0)
    assert told == []
    step(estimate, clock, 2.0)
    assert told == [1000 * 2 + 4 * 5 * 2]
    for _ in range(200):
        step(estimate, clock, 3.0)
    estimate.estimate()
    estimate.validation_ended(20.0)  # a tenth less than all was guessed is not worth a word
    assert len(told) == 1


def test_a_short_one_before_its_first_validation(clock: list[float]) -> None:
    told: list[float] = []
    estimate = TimeEstimate(30, 3, 1.0, told.append)
    estimate.estimate()
    for _ in range(10):
        step(estimate, clock, 2.0)
    estimate.estimate()
    assert told == [30 * 2 + 3 * 2]
    estimate.validation_ended(50.0)
    estimate.validation_ended(90.0)
    assert told[1:] == [30 * 2 + 3 * 50]


def test_a_run_of_one_step_has_no_other_to_go_by(clock: list[float]) -> None:
    told: list[float] = []
    estimate = TimeEstimate(2, 2, 0.0, told.append)
    step(estimate, clock, 3.0)
    estimate.estimate()
    assert told == [6.0]


def test_one_that_goes_on_with_a_validation(clock: list[float]) -> None:
    told: list[float] = []
    estimate = TimeEstimate(30, 3, 1.0, told.append)
    estimate.estimate()
    estimate.validation_ended(10.0)
    assert told == []
    for _ in range(10):
        step(estimate, clock, 2.0)
    estimate.estimate()
    assert told == [30 * 2 + 3 * 10]


def test_validations_are_counted_as_they_come() -> None:
    variant = tiny("p2phd1", "epochs=5", "decay_epochs=2", "validations=3")
    assert [epoch for epoch in range(7) if variant.validates_after(epoch)] == [2, 5, 6]
    assert variant.total_validations == 3


@pytest.mark.slow
def test_a_training_tells_it(trained: Path) -> None:
    told: list[dict] = []
    train(tiny("p2phd1", "name=told"), work=Path("work"), runs=Path("runs"), watch=told.append)
    first = next(i for i, record in enumerate(told) if "whole_s" in record)
    scored = [i for i, record in enumerate(told) if "holdout_mae" in record]
    assert told[first]["whole_s"] > 0 and first < scored[0]
    assert all(told[i]["validation_s"] > 0 for i in scored) and len(scored) == 2
