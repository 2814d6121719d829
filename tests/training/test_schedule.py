"""The learning rate over a training."""

import itertools
import math
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.training.schedule import rate_share
from kit.training.train import train
from tests.helpers.runs import assert_same_run, records
from tests.helpers.variants import tiny

EACH = 7  # steps in an epoch


def shares(*settings: str) -> list[float]:
    variant = tiny("spade2", *settings)
    epochs = range(variant.total_epochs)
    return [rate_share(variant, epoch, step, EACH) for epoch in epochs for step in range(EACH)]


def test_linear_holds_and_falls_by_epoch() -> None:
    assert shares("epochs=2", "decay_epochs=4")[::EACH] == [1, 1, 1, 0.75, 0.5, 0.25]
    assert len(set(shares("epochs=3", "decay_epochs=0"))) == 1
    found = shares("epochs=2", "decay_epochs=4")
    assert all(len(set(found[at : at + EACH])) == 1 for at in range(0, len(found), EACH))


def test_cosine_warms_up_over_a_twentieth_and_falls_to_zero_by_step() -> None:
    found = shares("schedule=cosine", "epochs=10", "decay_epochs=10")
    warm_up = math.ceil(len(found) / 20)
    assert found[:warm_up] == [(step + 1) / warm_up for step in range(warm_up)]
    falling = found[warm_up - 1 :]
    assert all(before > after for before, after in itertools.pairwise(falling))
    assert found[-1] < 1e-3
    middle = (len(found) + warm_up - 1) / 2
    assert found[round(middle)] == pytest.approx(0.5, abs=0.02)
    # How epochs are divided does not matter.
    assert shares("schedule=cosine", "epochs=1", "decay_epochs=19") == found


@pytest.mark.slow
def test_every_choice_trains_and_resumes_to_the_same_end(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = tiny(
        "p2phd2", "name=other", "schedule=cosine", "pixel_loss=charbonnier", "weight_decay=0.1",
        "turns=true", "date=true",
    )  # fmt: skip
    whole = train(variant, work=Path("work"), runs=Path("whole"))
    assert any("charbonnier" in record for record in records(whole.folder))

    def stop(record: dict) -> None:
        if "charbonnier" in record and record["epoch"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(variant, work=Path("work"), runs=Path("parts"), watch=stop)
    assert [*Path("parts/other/checkpoints").glob("step-*/state.json")]
    resumed = train(variant, work=Path("work"), runs=Path("parts"))
    assert_same_run(whole.folder, resumed.folder)
    with pytest.raises(InputError, match="schedule is 'step'"):
        tiny("spade2", "schedule=step")
