"""Held-out predictions are of the pixels that the pairs have now."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import kit.training.heldout
from kit.pairs.table import PAIRS, holdout_pairs, read_pairs, write_pairs
from kit.runs.heldout import HELDOUT, read_heldout, write_heldout
from kit.training.heldout import heldout, kept
from kit.training.train import train
from kit.training.validate import validate
from kit.training.validation import read_validation
from kit.variants.settings import as_fold
from tests.helpers.folders import copy_of
from tests.helpers.variants import tiny

pytestmark = pytest.mark.xdist_group("heldout")

WORK, RUNS = Path("work"), Path("runs")


def other_pixels() -> None:
    """Let the table say that a scene was processed anew."""
    first, *others = read_pairs(WORK / PAIRS)
    other = replace(first, values=(*first.values[:-1], first.values[-1] + 1))
    write_pairs(WORK / PAIRS, [other, *others])


@pytest.mark.usefixtures("trained")
def test_predictions_of_earlier_pixels_are_made_again_and_told() -> None:
    heldout(RUNS, "spade2", WORK)
    assert kept(RUNS, "spade2", WORK)
    other_pixels()
    assert kept(RUNS, "spade2", WORK) is None
    told: list[str] = []
    heldout(RUNS, "spade2", WORK, report=told.append)
    at = RUNS / "spade2" / HELDOUT
    assert told == [
        f"{RUNS / 'spade2'}: was trained with other pixels in scenes of the same names; "
        "its scores are of those of now",
        f"{at}: predicted of other pixels than those of now; predicted again",
    ]
    assert kept(RUNS, "spade2", WORK)


@pytest.mark.usefixtures("trained")
def test_predictions_of_a_kit_that_did_not_record_pixels_are_read() -> None:
    heldout(RUNS, "spade2", WORK)
    at = RUNS / "spade2" / HELDOUT
    record = read_heldout(at)
    # What is predicted beside them does not make them images of the pixels of now.
    some = dict([*record.images.items()][1:])
    write_heldout(at, replace(record, images=some, pixels_sha256=None))
    heldout(RUNS, "spade2", WORK)
    assert read_heldout(at).images.keys() == record.images.keys()
    assert read_heldout(at).pixels_sha256 is None
    other_pixels()
    assert kept(RUNS, "spade2", WORK)


@pytest.fixture(scope="module")
def folded_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of both folds of `folded` too."""
    with copy_of(trained_once, tmp_path_factory.mktemp("folded") / "trained") as root:
        for number in (1, 2):
            variant = tiny("p2phd1", "name=folded", "epochs=1", "decay_epochs=0")
            train(as_fold(variant, number, 2), work=WORK, runs=RUNS)
    return root


@pytest.fixture
def folded(folded_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of `folded_once` to work in, as the current folder."""
    with copy_of(folded_once, tmp_path / "folded") as root:
        yield root


@pytest.mark.slow
@pytest.mark.usefixtures("folded")
def test_validate_tells_each_line_once_and_keeps_no_scores_of_earlier_pixels() -> None:
    validate(["folded", "spade2"])
    other_pixels()
    told: list[str] = []
    validate(["folded"], report=told.append)
    again = [line for line in told if "predicted of other pixels" in line]
    trained = [line for line in told if "was trained with other pixels" in line]
    assert len(again) == len(trained) == 2 and len(told) == len(set(told))
    names = {each.name for each in read_validation(RUNS).scored if not each.is_baseline}
    assert names == {"folded"}


@pytest.mark.slow
@pytest.mark.usefixtures("folded")
def test_of_very_many_pairs_that_folds_held_out_some_are_predicted_and_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = {str(pair.optical) for pair in holdout_pairs(read_pairs(WORK / PAIRS))}
    every = heldout(RUNS, "folded", WORK).scenes
    monkeypatch.setattr(kit.training.heldout, "MOST_OUT_OF_FOLD", 3)
    told: list[str] = []
    steps: list[tuple[int, int]] = []
    found = heldout(
        RUNS, "folded", WORK, report=told.append, advance=lambda d, t, _="", /: steps.append((d, t))
    )
    assert held < {*found.scenes} < {*every} and len(found.scenes) == len(held) + 3
    assert told == [
        f"3 of {len(every) - len(held)} scenes that folds held out are predicted, drawn by chance: "
        "they are enough"
    ]
    assert steps[-1] == (2 * len(held) + 3,) * 2
    again = kept(RUNS, "folded", WORK)
    assert again and again.scenes == found.scenes
    rows = {row.part.out_of_fold: row for row in validate(["folded"]) if row.variant == "folded"}
    assert rows[True].scores.n == 3 and rows[False].scores.n == len(held)


@pytest.mark.usefixtures("trained")
def test_validate_says_how_far_it_is_with_a_variant() -> None:
    told: list[tuple[int, int, str]] = []
    validate(["spade2", "p2phd1"], advance=lambda *step: told.append(step))
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    assert told[0][2].startswith("spade2: ") and told[-1] == (2, 2, "baselines")
