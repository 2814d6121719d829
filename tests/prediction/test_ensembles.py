import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.averaging import Averaging
from kit.errors import InputError
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.prediction.ensembles import (
    Ensemble,
    Fitted,
    check_name,
    chosen_ensemble,
    ensemble_path,
    find_ensemble,
    known_ensembles,
    read_ensemble,
    write_ensemble,
)
from tests.helpers.sealed import rewrite

FITTED = Fitted(
    method="greedy, with replacement",
    score=0.03,
    interval=(0.02, 0.04),
    against={"one colour": 0.05, "plain mean": 0.04},
    scenes=45,
    pairs_sha256="p",
    weights={"spade2": "a", "p2phd1": "b"},
    candidates={"spade2": "a", "p2phd1": "b", "spade4": "c"},
    kinds={"unseen places": 30, "unseen dates of seen places": 15},
)
ENSEMBLE = Ensemble(
    name="best",
    members=("spade2", "p2phd1"),
    combination=Combination(
        (4, 3), Affine(((20_000, 30_000, 9_000), (0, 0, 5), (1, 2, -3))), "anchors"
    ),
    measure="official_2022",
    target="reflectance",
    fitted=FITTED,
)
THREE = ("spade4", "spade2", "p2phd1")


@pytest.mark.parametrize("averaging", [(4, 3), "mean", "median"])
def test_an_ensemble_is_read_as_it_was_written(tmp_path: Path, averaging: Averaging) -> None:
    ensemble = replace(ENSEMBLE, combination=replace(ENSEMBLE.combination, averaging=averaging))
    path = write_ensemble(tmp_path, ensemble)
    assert path == ensemble_path(tmp_path, "best") == tmp_path / "best.json"
    assert read_ensemble(path) == find_ensemble("best", tmp_path) == ensemble
    assert known_ensembles(tmp_path) == ["submission1", "submission2", "best"]
    members = json.loads(path.read_text())["members"]
    assert members == [["spade2", 4 if averaging == (4, 3) else 1], ["p2phd1", members[1][1]]]


def test_one_of_an_earlier_kit_does_not_say_its_candidates(tmp_path: Path) -> None:
    path = write_ensemble(tmp_path, ENSEMBLE)
    record = json.loads(path.read_text())["fitted"]
    rewrite(path, {"fitted": {k: v for k, v in record.items() if k != "candidates"}})
    assert read_ensemble(path).fitted == replace(FITTED, candidates={})


def test_names_of_the_paper_and_lists_are_plain_means(tmp_path: Path) -> None:
    assert find_ensemble("submission2", tmp_path) == Ensemble("submission2", THREE)
    assert find_ensemble("spade4,spade2", tmp_path) == Ensemble(
        "spade4-spade2", ("spade4", "spade2")
    )
    assert find_ensemble("mine", tmp_path) == Ensemble("mine", ("mine",))


def test_without_a_name_it_is_what_was_predicted_last(tmp_path: Path) -> None:
    for given, name in (("submission2", "submission2"), (",".join(THREE), "-".join(THREE))):
        (tmp_path / "last.json").write_text(json.dumps({"ensemble": given, "members": THREE}))
        assert chosen_ensemble(tmp_path, None, tmp_path / "none") == Ensemble(name, THREE)
    write_ensemble(tmp_path / "ensembles", ENSEMBLE)
    last = {"ensemble": "best", "members": ["spade2", "p2phd1"]}
    (tmp_path / "last.json").write_text(json.dumps(last))
    assert chosen_ensemble(tmp_path, None, tmp_path / "ensembles") == ENSEMBLE
    assert chosen_ensemble(tmp_path, "spade2", tmp_path / "ensembles").members == ("spade2",)


@pytest.mark.parametrize("last", [None, "[]", "{}", '{"ensemble": "x", "members": []}'])
def test_without_a_prediction_there_is_none(tmp_path: Path, last: str | None) -> None:
    if last is not None:
        (tmp_path / "last.json").write_text(last)
    with pytest.raises(InputError, match="kit predict"):
        chosen_ensemble(tmp_path, None, tmp_path)


def test_runs_that_changed_since_the_fit_are_named() -> None:
    assert ENSEMBLE.changed({"spade2": "a", "p2phd1": "b", "other": "c"}) == ()
    assert ENSEMBLE.changed({"spade2": "a", "p2phd1": "c"}) == ("p2phd1",)
    assert Ensemble("mine", ("mine",)).changed({"mine": "c"}) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"members": [["spade2", 2], ["p2phd1", 4]]},
        {"members": [["spade2", 1], ["spade2", 2]]},
        {"members": [["spade2", 0], ["p2phd1", 1]]},
        {"members": [["spade2", 0.5], ["p2phd1", 1]]},
        {"members": []},
        {"average": "mode"},
        {"average": "median"},  # of members with weights
        {"stretch": "most"},
        {"affine": [[1, 2]]},
        {"fitted": None},
        {"name": "other"},
    ],
)
def test_a_file_that_is_no_ensemble_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write_ensemble(tmp_path, ENSEMBLE)
    rewrite(path, changes)
    with pytest.raises(InputError, match=r"best\.json"):
        find_ensemble("best", tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write_ensemble(tmp_path, ENSEMBLE)
    path.write_text(path.read_text().replace("20000", "20001"))
    with pytest.raises(InputError, match=r"checksum.*\n.*kit fit --name best --overwrite"):
        find_ensemble("best", tmp_path)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "submission1", "unet2", "x" * 200])
def test_names_that_no_fit_may_have(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)
