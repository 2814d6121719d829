"""Epochs that end within a time: chosen once by what was measured, kept when the run goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import kit.machine.memory
import kit.training.compiled
import kit.training.hours
import kit.training.train
import kit.training.trainer
from kit.cli.training import _event
from kit.errors import CheckError, InputError
from kit.runs.folder import read_variant
from kit.training.checkpoint import checkpoints
from kit.training.compiled import Decision
from kit.training.hours import Cost, cost, within
from kit.training.rates import Rate
from kit.training.train import train
from kit.variants.registry import SPADE2, UNET2
from tests.helpers.runs import records
from tests.helpers.variants import tiny

HUNDRED = 100 / 3600  # seconds
SECOND = Rate(first_s=1.0, step_s=0.1, load_s=0.01, image_s=0.02)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Rate]:
    """Rates that are measured, in order; the last of them from then on."""
    rates = [SECOND]
    monkeypatch.setattr(
        kit.training.hours, "measure_rate", lambda *_, **__: rates.pop(0) if rates[1:] else rates[0]
    )
    return rates


def test_a_training_costs_its_steps_and_its_validations() -> None:
    found = cost(replace(UNET2, batch=4, epochs=3, decay_epochs=1, validations=2), SECOND, 40, 10)
    assert found.epoch_s == pytest.approx(1.0)  # 10 steps
    # The latest and the average weights: the hold-out, and 40 pairs of batch norm.
    assert found.validation_s == pytest.approx(2 * (10 + 40) * 0.02 + 0.5)
    variant = replace(UNET2, epochs=3, decay_epochs=1, validations=2)
    assert found.total_s(variant) == pytest.approx(1.0 + 4 * 1.0 + 2 * 2.5)


@pytest.mark.parametrize("seconds", [10.0, 60.0, 3600.0, 86400.0])
def test_what_is_chosen_ends_within_the_time_and_fills_it(seconds: float) -> None:
    each = Cost(first_s=1.0, epoch_s=1.3, validation_s=0.7)
    found = within(SPADE2, each, 10, seconds)
    assert 0.85 * seconds < each.total_s(found) <= seconds
    assert found.decay_epochs == pytest.approx(found.total_epochs / 2, abs=1)
    assert found.total_validations <= 20


def test_validations_take_a_fifth_at_most_unless_they_are_asked_for() -> None:
    each = Cost(first_s=0.0, epoch_s=0.1, validation_s=1.0)
    assert within(SPADE2, each, 10, 30.0).validations == 6
    assert within(replace(SPADE2, validations=12), each, 10, 30.0).validations == 12


def test_of_validations_that_are_asked_for_there_are_as_many_as_epochs() -> None:
    each = Cost(first_s=5.0, epoch_s=10.0, validation_s=60.0)
    found = within(replace(SPADE2, validations=20), each, 10, 1000.0)
    assert (found.total_epochs, found.validations) == (14, 14)
    assert 0.9 * 1000 < each.total_s(found) <= 1000
    with pytest.raises(InputError, match="take 75 s here, and 70 s are left"):
        within(replace(SPADE2, validations=20), each, 10, 70.0)


def test_a_time_too_short_for_one_epoch_is_refused_with_the_time_it_takes() -> None:
    each = Cost(first_s=2.0, epoch_s=100.0, validation_s=10.0)
    with pytest.raises(InputError, match=r"one epoch .* take 112 s here.*\n.*--hours 0.038"):
        within(SPADE2, each, 10, 60.0)


def test_what_has_passed_already_is_asked_for_too() -> None:
    each = Cost(first_s=2.0, epoch_s=100.0, validation_s=10.0)
    with pytest.raises(InputError, match=r"and 0 s are left\n.*--hours 0.072,"):
        within(SPADE2, each, 10, -40.0, 100.0)


@pytest.mark.parametrize("hours", [0.0, float("inf"), float("nan")])
def test_what_is_no_number_of_hours_is_refused(trained: Path, hours: float) -> None:
    with pytest.raises(InputError, match=r"--hours: .* no time to plan with"):
        train(tiny("p2phd1", "name=timed"), work="work", runs="runs", hours=hours)
    assert not Path("runs/timed").exists()


def test_hours_choose_epochs_once(trained: Path, measured: list[Rate], monkeypatch) -> None:
    variant = tiny("p2phd1", "name=timed", "epochs=10", "decay_epochs=30")
    where = {"work": Path("work"), "runs": Path("runs")}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    whole = kit.training.trainer.Trainer._validate
    monkeypatch.setattr(kit.training.trainer.Trainer, "_validate", stop)
    measured[:] = [replace(SECOND, step_s=1.0)]
    with pytest.raises(KeyboardInterrupt):
        train(variant, **where, hours=HUNDRED)
    chosen = read_variant(Path("runs/timed"))
    assert chosen.decay_epochs == round(0.75 * chosen.total_epochs) > 3  # the share that was asked
    monkeypatch.setattr(kit.training.trainer.Trainer, "_validate", whole)
    measured[:] = [replace(SECOND, step_s=5.0)]
    # Nothing was saved, so that what is measured now counts.
    train(variant, **where, hours=HUNDRED)
    first, *_ = records(Path("runs/timed"))
    assert read_variant(Path("runs/timed")).total_epochs < 4
    assert (first["hours"], first["step"], first["step_s"]) == (HUNDRED, 0, 5.0)


def test_a_rate_that_is_known_is_not_measured_again(
    trained: Path, measured: list[Rate], monkeypatch
) -> None:
    measured.clear()  # where measuring would fail
    known = Decision(False, rate=replace(SECOND, step_s=5.0))
    monkeypatch.setattr(kit.training.train, "decide", lambda *_: known)
    train(tiny("p2phd1", "name=timed"), work="work", runs="runs", hours=HUNDRED)
    first, *_ = records(Path("runs/timed"))
    assert (first["hours"], first["step_s"]) == (HUNDRED, 5.0)


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_its_epochs_and_ends_as_one_that_was_told_them(
    trained: Path, measured: list[Rate], monkeypatch
) -> None:
    variant = tiny("p2phd1", "name=timed")
    measured[:] = [replace(SECOND, step_s=5.0)]
    where = {"work": Path("work"), "runs": Path("runs")}
    monkeypatch.setattr(kit.training.trainer, "CHECKPOINT_SECONDS", 0)

    def stop(record: dict[str, object]) -> None:
        if "l1" in record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(variant, **where, hours=HUNDRED, watch=stop)
    chosen = read_variant(Path("runs/timed"))
    measured.clear()  # where measuring would fail
    train(variant, **where, hours=100)
    assert read_variant(Path("runs/timed")) == chosen
    train(chosen, work="work", runs="told")
    assert_same_weights(Path("runs/timed"), Path("told/timed"))


@pytest.mark.slow
def test_what_measuring_trains_leaves_no_trace(trained: Path, monkeypatch) -> None:
    once = replace(tiny("p2phd1", "name=timed"), epochs=1, decay_epochs=0, validations=1)
    monkeypatch.setattr(kit.training.hours, "within", lambda *_: once)
    run = train(tiny("p2phd1", "name=timed"), work="work", runs="runs", hours=1)
    train(once, work="work", runs="told")
    assert_same_weights(run.folder, Path("told/timed"))


@pytest.mark.slow
@pytest.mark.parametrize("compiles", [False, True])
def test_a_first_step_that_diverges_is_told_with_its_pairs(
    trained: Path, compiles: bool, monkeypatch
) -> None:
    """As without hours: what is measured first names no pairs."""
    variant = tiny("unet1", "name=wild", "lr=1e30")
    if compiles:  # as on a card, where every run is measured first
        monkeypatch.setattr(kit.training.compiled, "pick", lambda: torch.device("cuda"))
    with pytest.raises(CheckError, match="step"):
        train(variant, hours=None if compiles else HUNDRED)


def test_what_is_fitted_takes_no_hours(trained: Path) -> None:
    with pytest.raises(InputError, match="has no epochs that hours could choose"):
        train("trees1", work="work", runs="runs", hours=1)
    assert not Path("runs/trees1").exists()


def test_a_machine_that_turns_out_slower_is_told_with_the_choice_it_leaves() -> None:
    assert _event({"whole_s": 7000.0}, 7200.0) == "takes 116.7 min in all at this rate"
    told = _event({"whole_s": 9000.0}, 7200.0)
    assert "takes 2.5 h in all at this rate, not the 2.0 h that were planned" in told
    assert "Let it run; or stop it, and start again with --overwrite" in told


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (checkpoints(run / "checkpoints")[0] for run in (one, other))
    assert first.name == second.name
    for file in first.glob("*.safetensors"):
        assert file.read_bytes() == (second / file.name).read_bytes(), file


def test_a_step_that_memory_does_not_hold_is_refused_with_what_helps(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.machine.memory, "available_memory", lambda _: 100 * 2**20)
    with pytest.raises(InputError, match=r"more memory than this .*\n.*accumulate=2"):
        train(tiny("p2phd1", "name=large", "width=1000"), work="work", runs="runs", hours=1)
