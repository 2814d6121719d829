"""Of which runs and pairs an ensemble and Table 1 are: their content says it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kit.pairs.prepare import prepare
from kit.pairs.table import PAIRS, fingerprint, read_pairs
from kit.planning.scored import State, ensemble_state, is_validated
from kit.prediction.ensembles import Ensemble, Fitted, ensemble_path, write_ensemble
from kit.runs.weights import read_run
from kit.storage.files import FITTED, RUNS, WORK
from kit.training.train import train
from kit.training.validate import validate
from tests.helpers.sealed import rewrite
from tests.helpers.variants import tiny

MEMBERS = ("spade2", "p2phd1")
FILE = ensemble_path(FITTED, "mine")


def fitted() -> Ensemble:
    """An ensemble of the first of two candidates, in its file."""
    weights = {name: read_run(RUNS, name).sha256 for name in MEMBERS}
    pairs, used = fingerprint(read_pairs(WORK / PAIRS)), {"spade2": weights["spade2"]}
    about = Fitted("mean", 0.1, (0.1, 0.2), {}, 5, pairs, used, weights)
    made = Ensemble("mine", ("spade2",), measure="mae", fitted=about)
    write_ensemble(FITTED, made)
    return made


def state(*members: str, measure: str = "mae") -> State:
    return ensemble_state(FILE, measure, members)


@pytest.mark.usefixtures("trained")
def test_an_ensemble_is_that_of_its_candidates_and_measure() -> None:
    assert state(*MEMBERS) == State()
    fitted()
    assert state(*MEMBERS) == state(*reversed(MEMBERS)) == State(done=True)
    for members, problem in (
        ((*MEMBERS, "spade4"), "was fitted without spade4"),
        (("spade2",), "was fitted with p2phd1 too"),
    ):
        assert state(*members) == State(differs=f"{FILE}: {problem}")
    assert state(*MEMBERS, measure="psnr") == State(differs=f"{FILE}: is fitted for mae")


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
def test_a_candidate_without_weight_that_was_trained_again_counts() -> None:
    fitted()
    train(tiny("p2phd1", "seed=1"), overwrite=True)
    assert state(*MEMBERS) == State(differs=f"{FILE}: was fitted to other weights of p2phd1")


@pytest.mark.usefixtures("trained")
def test_an_ensemble_of_an_earlier_kit_does_not_say_its_candidates() -> None:
    made = fitted()
    assert made.fitted
    write_ensemble(FITTED, replace(made, fitted=replace(made.fitted, candidates={})))
    assert "does not say of what its members were chosen" in state(*MEMBERS).differs
    record = json.loads(FILE.read_text())["fitted"]
    rewrite(FILE, {"fitted": {k: v for k, v in record.items() if k != "candidates"}})
    assert "does not say of what its members were chosen" in state(*MEMBERS).differs


@pytest.mark.usefixtures("trained")
def test_scores_on_other_pairs_are_not_those_of_now(trained_once: Path) -> None:
    fitted()
    validate(["spade2"])
    assert is_validated("mae", ["spade2"])
    prepare(trained_once / "data", "work", seed=1)
    assert state(*MEMBERS) == State(differs=f"{FILE}: was fitted to other pairs than those of now")
    assert not is_validated("mae", ["spade2"])


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
def test_table_1_is_that_of_its_members_measure_and_weights() -> None:
    assert not is_validated("mae", ["p2phd1"])
    validate(["p2phd1"])
    assert is_validated("mae", ["p2phd1"])
    assert not is_validated("psnr", ["p2phd1"]) and not is_validated("mae", MEMBERS)
    train(tiny("p2phd1", "seed=1"), overwrite=True)
    os.utime(RUNS / "validation.parquet")  # no time of a file decides
    assert not is_validated("mae", ["p2phd1"])
