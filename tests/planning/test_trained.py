"""Whether the runs that lie there are those of the plan and of the pairs: else they are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, write_pairs
from kit.planning.plan import Plan, Training
from kit.planning.trained import is_trained, refuse_others
from kit.training.train import train
from kit.variants.registry import find_variant
from tests.helpers.sealed import rewrite
from tests.helpers.variants import tiny

SETTINGS = {
    "width": 2, "discriminator_width": 2, "batch": 4, "crop": 32, "epochs": 1, "decay_epochs": 1,
    "lr": 0.002, "discriminator_lr": 0.002,
}  # fmt: skip


def plan(*trainings: Training, folds: int = 1, all_pairs: bool = False) -> Plan:
    return Plan(1.0, "here", 24, "mae", folds, all_pairs, 1, False, 0, trainings)


def spade2(**others: object) -> Training:
    return Training("spade2", SETTINGS | others)


@pytest.mark.usefixtures("trained")
def test_a_run_is_that_of_a_plan_of_its_settings() -> None:
    asked = plan(spade2(), Training("p2phd2", SETTINGS))
    refuse_others(asked)
    assert [is_trained(each, asked) for each in asked.trainings] == [True, False]
    # These may change in a run that goes on; validations that nobody asks for are the run's.
    free = plan(spade2(precision="bfloat16", accumulate=2, clip=3.0))
    refuse_others(free)
    assert is_trained(*free.trainings, free)


@pytest.mark.usefixtures("trained")
def test_a_run_of_other_settings_is_refused_with_the_command_that_trains_it_again() -> None:
    asked = plan(spade2(epochs=9, validations=5))
    with pytest.raises(InputError) as refused:
        refuse_others(asked)
    where, problem, remedy = refused.value.where, refused.value.problem, refused.value.remedy
    assert str(where) == "runs/spade2"
    assert problem == "was trained with epochs=1, not 9, validations=20, not 5"
    command = remedy.partition(": ")[2].partition("; ")[0]
    kit, word, name, *options, last = command.split()
    assert (kit, word, name, last) == ("kit", "train", "spade2", "--overwrite")
    assert {*options[::2]} == {"--set"}
    assert find_variant(name, options[1::2]) == asked.trainings[0].chosen
    # What is moved away, or gets another name, is no run of the plan.
    refuse_others(plan(spade2(epochs=9, name="another")))
    shutil.move("runs/spade2", "kept")
    refuse_others(asked)
    assert not is_trained(*asked.trainings, asked)


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
def test_a_run_that_was_trained_again_is_used() -> None:
    asked = plan(Training("p2phd1", SETTINGS | {"lr": 0.004}))
    train(tiny("p2phd1", "lr=0.004"), overwrite=True)
    refuse_others(asked)
    assert is_trained(*asked.trainings, asked)


@pytest.mark.usefixtures("trained")
def test_runs_of_other_pairs_are_refused(trained_once: Path) -> None:
    asked = plan(spade2(), Training("p2phd1", SETTINGS))
    prepare(trained_once / "data", "work", seed=1)
    with pytest.raises(InputError, match=r"runs/spade2: was trained with other pairs than") as no:
        refuse_others(asked)
    assert "and so 1 other run: spade2, p2phd1" in no.value.problem
    assert "train again, each by --overwrite, such as kit train spade2 --set" in no.value.remedy
    Path("work/pairs.parquet").unlink()  # still to be made
    refuse_others(asked)


@pytest.mark.usefixtures("trained")
def test_runs_of_other_pixels_are_refused() -> None:
    asked = plan(spade2())
    first, *others = read_pairs(Path("work/pairs.parquet"))
    other = replace(first, values=(*first.values[:-1], first.values[-1] + 1))
    write_pairs(Path("work/pairs.parquet"), [other, *others])
    with pytest.raises(InputError, match="trained with other pixels in scenes of the same names"):
        refuse_others(asked)


@pytest.mark.usefixtures("trained")
def test_folds_and_the_run_that_would_predict_in_their_place_are_looked_at() -> None:
    asked = plan(spade2(), folds=2)
    refuse_others(asked)
    for fold in (1, 2):
        folder = Path(shutil.copytree("runs/spade2", f"runs/spade2.fold{fold}"))
        record = json.loads((folder / "config.json").read_text())
        rewrite(folder / "config.json", {"variant": record["variant"] | {"name": folder.name}})
    with pytest.raises(InputError, match=r"spade2.fold1: .* folds=1, not 2") as refused:
        refuse_others(asked)
    assert "--fold 1/2 --overwrite" in refused.value.remedy
    for fold in (1, 2):
        shutil.rmtree(f"runs/spade2.fold{fold}")
    with pytest.raises(InputError, match="runs/spade2: was trained with width=2, not 4"):
        refuse_others(replace(asked, trainings=(spade2(width=4),)))
