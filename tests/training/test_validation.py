"""`runs/validation.parquet`: what `kit validate` measured, for whoever shows it."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kit.errors import InputError
from kit.runs.weights import load_run, save_weights
from kit.storage.files import sha256
from kit.training.table1 import Scored
from kit.training.unseen import Part
from kit.training.validate import validate
from kit.training.validation import VALIDATION, Validation, read_validation, write_validation

RUNS = Path("runs")


def runs_of(scored: Iterable[Scored]) -> set[str]:
    """The names of those that are no baselines."""
    return {each.name for each in scored if not each.is_baseline}


@pytest.mark.slow
def test_the_rows_are_those_that_validate_returned(trained: Path) -> None:
    rows = validate()
    assert repr(read_validation(RUNS).rows()) == repr(rows)  # NaN is itself
    rows = validate(measure="official_2023")
    assert repr(read_validation(RUNS).rows()) == repr(rows)


@pytest.mark.slow
def test_runs_that_were_not_asked_for_keep_their_errors_while_their_weights_stay(
    trained: Path,
) -> None:
    validate()
    before = read_validation(RUNS)
    weights = load_run(RUNS, "spade4")
    with torch.no_grad():
        next(weights.generator.parameters()).mul_(1.01)
    save_weights(weights.path, weights.generator, weights.variant, weights.facts)
    validate(["spade2"])
    after = read_validation(RUNS)
    names = {each.name for each in after.scored if not each.is_baseline}
    assert names == {"spade2", "p2phd1"}
    by_name = {each.name: each for each in before.scored}
    assert all(
        each.errors == by_name[each.name].errors for each in after.scored if each.name in names
    )
    shutil.rmtree("runs/p2phd1")
    assert {each.name for each in after.current(RUNS) if not each.is_baseline} == {"spade2"}
    validate(["spade2"], measure="official_2022")
    assert {each.name for each in read_validation(RUNS).scored if not each.is_baseline} == {
        "spade2"
    }


def test_parts_that_were_not_asked_for_keep_their_baselines(trained: Path) -> None:
    hold_out, folds = Part(False, "unseen places"), Part(True, "unseen places")
    held, seen = (f"9.00_1.00_2020_01_{day}" for day in ("01", "02"))

    def scored(name: str, error: float, *scenes: str, is_baseline: bool = False) -> Scored:
        errors = {scene: {"mae": error, "mse": error**2} for scene in scenes}
        return Scored(name, "reflectance", errors, is_baseline=is_baseline)

    color, worse = scored("mean colour", 0.05, held, seen, is_baseline=True), "spade2"
    weights = {worse: {worse: sha256(Path("runs/spade2/weights.safetensors"))}}
    before = Validation(
        "mae", "pairs", {hold_out: (held,), folds: (seen,)},
        (color, scored(worse, 0.09, held, seen)), weights,
    )  # fmt: skip
    color, better = scored("mean colour", 0.05, held, is_baseline=True), scored("new", 0.04, held)
    now = Validation("mae", "pairs", {hold_out: (held,)}, (color, better), {})
    rows = {(row.part, row.variant): row for row in now.with_others(before, RUNS).rows()}
    assert rows[folds, worse].not_beaten == ("mean colour",)
    assert (folds, "mean colour") in rows


@pytest.mark.slow
def test_other_pairs_have_no_use_for_it(trained: Path) -> None:
    validate(["spade2"])
    found = read_validation(RUNS)
    write_validation(RUNS, replace(found, pairs_sha256="others"))
    validate(["p2phd1"])
    assert runs_of(read_validation(RUNS).scored) == {"p2phd1"}


@pytest.mark.slow
def test_a_damaged_one_is_written_again_and_said(trained: Path) -> None:
    path = RUNS / VALIDATION
    validate(["spade2"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="run kit validate again"):
        read_validation(RUNS)
    told: list[str] = []
    validate(["spade2"], report=told.append)
    assert any("written again" in line for line in told)
    assert read_validation(RUNS).weights.keys() == {"spade2"}
