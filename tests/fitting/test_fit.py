"""Which members can be fitted together, and what is written of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import kit.fitting.fit
from kit.errors import BusyError, InputError
from kit.fitting.fit import Fit, fit
from kit.pairs.table import write_pairs
from kit.prediction.ensembles import find_ensemble
from kit.runs.training_pairs import write_training_pairs
from tests.helpers.heldout import Made
from tests.helpers.members import PLACES, Member
from tests.helpers.pairs import grid, spread

Run = Callable[..., Fit]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fit` of made members."""
    write_pairs(tmp_path / "work" / "pairs.parquet", grid(PLACES, 1))

    def run(
        members: list[Member], inputs: Mapping[str, str] = MappingProxyType({}), **settings: Any
    ) -> Fit:
        known = {member.name: member for member in members}
        monkeypatch.setattr(kit.fitting.fit, "heldout", lambda runs, name, *_, **__: known[name])
        monkeypatch.setattr(
            kit.fitting.fit, "_inputs", lambda member: inputs.get(member.name, "date=false")
        )
        return fit(
            [*known],
            work=tmp_path / "work",
            runs=tmp_path / "runs",
            ensembles=tmp_path / "ensembles",
            **settings,
        )  # fmt: skip

    return run


def members(*noise: float, **settings: Any) -> list[Member]:
    made = Made(noise, PLACES, **settings)
    return [Member(f"m{number}", number, made) for number in range(len(noise))]


def test_members_without_weight_are_no_part_of_it(run: Run, tmp_path: Path) -> None:
    given = members(0.05, 0.05, 0.05, bias=(0, 0, 0.5))
    found = run(given, measure="mae", name="mine")
    assert found.ensemble.members == ("m0", "m1") and found.members == ("m0", "m1", "m2")
    assert found.ensemble == find_ensemble("mine", tmp_path / "ensembles")
    assert found.ensemble.fitted
    assert found.ensemble.fitted.weights == {n: f"weights of {n}" for n in ("m0", "m1")}
    candidates = found.ensemble.fitted.candidates
    assert candidates == {n: f"weights of {n}" for n in ("m0", "m1", "m2")}
    assert found.ensemble.fitted.against["one colour"] > found.ensemble.fitted.score
    assert found.as_dict()["candidates"][1]["weights"] == {"m0": 1, "m1": 1, "m2": 0}


@pytest.mark.slow
def test_the_name_of_an_ensemble_is_that_of_its_measure(run: Run, tmp_path: Path) -> None:
    found = run(members(0.1, 0.1, stretched=True))
    assert found.path == tmp_path / "ensembles" / "official_2022.json"
    with pytest.raises(BusyError, match="--overwrite"):
        run(members(0.1, 0.1, stretched=True))
    assert run(members(0.1, 0.1, stretched=True), overwrite=True) == found


@pytest.mark.slow
def test_one_colour_needs_one_member_alone(run: Run) -> None:
    found = run(members(0.9, 0.9, stretched=True, signal=0.02))
    assert found.selection.chosen.name == "one colour, anchors"
    assert found.ensemble.members == ("m0",) and found.ensemble.combination.averaging == "mean"


def other(**changes: Any) -> list[Member]:
    """Two members, of which the second differs."""
    first, second = members(0.1, 0.1)
    return [first, Member("m1", 1, second.made, **changes)]


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        (other(target="minmax"), "m1: has the target minmax, but m0 has reflectance"),
        (other(runs=("m1.fold1", "m1.fold2")), "m1: has the number of folds 2, but m0 has 1"),
        (other(places=9), r"m1: has no held-out prediction of -54\.94_-3\.98_.*, and of 2 more"),
    ],
)
def test_members_that_are_not_alike_are_refused(
    run: Run, pair: list[Member], problem: str, tmp_path: Path
) -> None:
    for given in (pair, pair[::-1]):
        with pytest.raises(InputError, match=problem if given is pair else "m[01]: has"):
            run(given, measure="mae")
    assert not (tmp_path / "ensembles").exists()


def test_members_of_other_pairs_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.fitting.fit, "read_pairs_sha256", lambda folder: folder.name)
    with pytest.raises(InputError, match="m1: was trained on another table of pairs than m0"):
        run(members(0.1, 0.1))


def test_members_that_are_given_other_inputs_are_told(run: Run) -> None:
    lines: list[str] = []
    run(members(0.1, 0.1), measure="mae", report=lines.append)
    assert not lines
    run(members(0.1, 0.1), measure="psnr", report=lines.append, inputs={"m1": "date=true"})
    assert lines == ["members are given different inputs: m0 date=false; m1 date=true"]


def test_the_kinds_of_what_is_held_out_are_counted(run: Run, tmp_path: Path) -> None:
    """Places a degree apart, of which training sees other dates of the first five."""
    made = members(0.1, 0.1)
    every = spread(PLACES, 2)
    dates = sorted({pair.optical.date for pair in every})
    held = [replace(pair, split="holdout") for pair in every if pair.optical.date == dates[0]]
    seen = {pair.place for pair in held[:5]}
    others = [pair for pair in every if pair.place in seen and pair.optical.date == dates[1]]
    for member in made:
        member.pairs = {str(pair.optical): pair for pair in held}
    write_pairs(tmp_path / "work" / "pairs.parquet", [*held, *others])
    found = run(made, measure="mae", name="mine")
    assert found.kinds == {"unseen places": 7, "unseen dates of seen places": 5}
    assert found.as_dict()["kinds"] == found.kinds
    kept = find_ensemble("mine", tmp_path / "ensembles").fitted
    assert kept and kept.kinds == found.kinds


def test_of_folds_the_kinds_are_as_each_sees_what_it_holds_out(run: Run, tmp_path: Path) -> None:
    first, second = members(0.1, 0.1)
    pairs = spread(PLACES, 1)
    for member in (first, second):
        member.pairs = {str(pair.optical): pair for pair in pairs}
        member.runs = tuple(f"{member.name}.fold{fold}" for fold in (1, 2))
    write_pairs(tmp_path / "work" / "pairs.parquet", pairs)
    scenes = [(pair.radar, pair.optical) for pair in pairs]
    optical = [pair.optical for pair in pairs]
    again = replace(optical[0], date=optical[0].date + timedelta(days=200))
    for run_name, those, held in (
        ("m0.fold1", scenes[6:], optical[:6]),
        ("m0.fold2", [*scenes[:6], (replace(pairs[7].radar, date=again.date), again)], optical[6:]),
    ):
        write_training_pairs(tmp_path / "runs" / run_name, those, held)
    found = run([first, second], measure="mae")
    assert found.kinds == {"unseen places": 11, "unseen dates of seen places": 1}


@pytest.mark.parametrize(
    ("measure", "target", "told"),
    [("official_2022", "reflectance", True), ("official_2022", "minmax", False),
     ("mae", "reflectance", False)],
)  # fmt: skip
def test_members_that_learn_another_space_than_the_server_compares_are_told(
    run: Run, measure: str, target: str, told: bool
) -> None:
    lines: list[str] = []
    given = members(0.1, 0.1, stretched=measure != "mae")
    for member in given:
        member.target = target
    run(given, measure=measure, report=lines.append)
    words = "members learn reflectance: kit train-all server trains those that learn stretched"
    assert [line.startswith(words) for line in lines] == [True] * told


@pytest.mark.parametrize("places", [1, 2])
def test_two_places_are_too_few(run: Run, places: int) -> None:
    with pytest.raises(InputError, match=f"{places} scenes of {places} places.*\n.*--folds 5"):
        run([Member("m0", 0, Made([0.1], PLACES), places)])


def test_a_name_that_means_something_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="mine: is the name of a run"):
        run(members(0.1, 0.1), name="mine")


def test_of_many_scenes_some_are_drawn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.fitting.fit, "MOST_SCENES", 7)
    lines: list[str] = []
    found = run(members(0.1, 0.1), measure="mae", report=lines.append)
    assert found.scenes == 7 == found.places and found.ensemble.fitted
    assert found.ensemble.fitted.scenes == 7
    assert lines == ["7 of 12 held-out scenes are enough; they are drawn by chance"]
