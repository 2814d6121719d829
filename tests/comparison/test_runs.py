"""Runs and ensembles are compared on what they have not seen, and was not fitted to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kit.comparison.runs
import kit.fitting.fit
from kit.comparison.paired import Comparison
from kit.comparison.runs import compare_runs
from kit.errors import InputError
from kit.fitting.fit import Fit, fit
from kit.pairs.table import write_pairs
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.prediction.ensembles import read_ensemble, write_ensemble
from kit.runs.notes import add_note
from tests.helpers.heldout import Made
from tests.helpers.members import PLACES, Member
from tests.helpers.pairs import grid

Compare = Callable[..., Comparison]


@pytest.fixture
def made() -> list[Member]:
    """Members of which the second is best, and the third is far off."""
    made = Made((0.2, 0.1, 0.15), PLACES, bias=(0, 0, 0.3))
    return [Member(f"m{number}", number, made) for number in range(3)]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[Member]) -> Compare:
    known = {member.name: member for member in made}
    monkeypatch.setattr(kit.comparison.runs, "heldout", lambda runs, name, *_, **__: known[name])
    for name in known:
        (tmp_path / "runs" / name).mkdir(parents=True)

    def compare(first: str, second: str, measure: str | None = None) -> Comparison:
        folders = {name: tmp_path / name for name in ("work", "runs", "ensembles")}
        return compare_runs(first, second, measure, **folders)

    return compare


def fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[Member], **settings: Any
) -> Fit:
    write_pairs(tmp_path / "work" / "pairs.parquet", grid(PLACES, 1))
    known = {member.name: member for member in members}
    monkeypatch.setattr(kit.fitting.fit, "heldout", lambda runs, name, *_, **__: known[name])
    monkeypatch.setattr(kit.fitting.fit, "_inputs", lambda member: "")
    folders = {name: tmp_path / name for name in ("work", "runs", "ensembles")}
    return fit([*known], **folders, **settings)


def test_the_better_member_is_better(compare: Compare, tmp_path: Path) -> None:
    found = compare("m0", "m1")
    assert (found.measure, found.better, found.places) == ("mae", "m1", PLACES)
    add_note(tmp_path / "runs" / "m0", "a higher rate")
    assert compare("m0", "m0,m1").kept_notes == {"m0": ("a higher rate",)}
    assert compare("m1", "m0").gain == pytest.approx(-found.gain)
    assert compare("m0", "m0,m1", "psnr").second == "m0-m1"


def test_what_was_fitted_is_scored_where_it_was_not(
    compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[Member]
) -> None:
    found = fitted(tmp_path, monkeypatch, made[:2], measure="mae", name="best")
    chosen = found.selection.chosen
    assert found.ensemble.members == ("m0", "m1") and chosen.name != "plain mean"
    compared = compare("m1", "best")
    assert compared.measure == "mae"
    assert compared.scores[1] == pytest.approx(chosen.score, rel=1e-9)
    assert compared.notes == ("best: fitted again without the places that it is scored on",)
    made[0].weights = {"m0": "others"}
    assert "best was fitted to other weights of m0" in compare("m1", "best").notes


def test_anchors_are_given_where_they_score_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [Member(f"m{n}", n, Made((0.01, 0.3), PLACES, stretched=True)) for n in (0, 1)]
    known = {member.name: member for member in members}
    monkeypatch.setattr(kit.comparison.runs, "heldout", lambda runs, name, *_, **__: known[name])
    for name in known:
        (tmp_path / "runs" / name).mkdir(parents=True)
    folders = {name: tmp_path / name for name in ("work", "runs", "ensembles")}
    found = compare_runs("m0", "m1", "official_2022", **folders)
    assert found.better == "m0"
    assert found.notes == ("m1: with anchors, which score better",)


def test_other_targets_and_other_scenes_are_named(compare: Compare, made: list[Member]) -> None:
    made[1].target = "minmax"
    with pytest.raises(InputError, match=r"m1: has the target minmax, but m0 has reflectance"):
        compare("m0", "m1")
    made[1].target = "reflectance"
    dropped = made[1].pairs.pop(made[1].scenes[-1])
    found = compare("m0", "m1")
    assert found.only == (1, 0) and str(dropped.optical) not in str(found.differences)
    made[1].pairs = {}
    with pytest.raises(InputError, match=r"no scene is common: m0 has 12, .*, m1 has 0"):
        compare("m0", "m1")


def test_an_affine_brings_a_fitted_ensemble_to_the_space_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [Member(f"m{n}", n, Made((0.3, 0.3), PLACES, stretched=True)) for n in (0, 1)]
    fitted(tmp_path, monkeypatch, members, measure="official_2022", name="best")
    folder = tmp_path / "ensembles"
    ensemble = read_ensemble(folder / "best.json")
    assert ensemble.fitted
    method = replace(ensemble.fitted, method="plain mean, affine, anchors")
    made = Combination("mean", Affine(((65_536, 65_536, 0),) * 3), "anchors")
    write_ensemble(folder, replace(ensemble, combination=made, fitted=method))
    known = {member.name: member for member in members}
    monkeypatch.setattr(kit.comparison.runs, "heldout", lambda runs, name, *_, **__: known[name])
    (tmp_path / "runs" / "m0").mkdir(parents=True)
    folders = {name: tmp_path / name for name in ("work", "runs", "ensembles")}
    with pytest.raises(InputError, match=r"best: has the target minmax, but m0 has reflectance"):
        compare_runs("m0", "best", "mae", **folders)
    for member in members:
        member.target = "minmax"
    # In one space, all that is scored is the images, not what their members were.
    assert compare_runs("m0", "best", "mae", **folders).measure == "mae"
