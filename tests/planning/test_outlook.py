"""What a plan is advised to do instead."""

from pathlib import Path

import pytest

from kit.pairs.summary import SUMMARY
from kit.planning.outlook import instead_of_holding_out
from kit.planning.plan import Plan
from kit.storage.seal import write_record


def plan_of(pairs: int, hours: float) -> Plan:
    return Plan(hours, "known", pairs, "mae", 5, False, 8, False, 0, ())


def prepared(work: Path, split: str, held: int) -> None:
    write_record(work / SUMMARY, 2, {"settings": {"split": split}, "holdout": held})


@pytest.mark.parametrize(
    ("split", "held", "pairs", "hours", "advised"),
    [
        ("blocks", 7, 28, 0.1, True),
        ("random", 7, 28, 0.1, False),  # training sees these places
        ("blocks", 0, 35, 0.1, False),  # nothing is held out
        ("dates", 7, 28, 0.1, False),  # folds tell nothing of other dates
        ("source", 7, 28, 0.1, False),  # what others are scored on
        ("blocks", 7, 28, 0.01, False),  # no time for folds
        ("blocks", 100, 401, 8, False),  # enough to hold out of
        ("blocks", 100, 400, 8, True),
    ],
)
def test_of_few_pairs_none_need_be_held_out(
    tmp_path: Path, split: str, held: int, pairs: int, hours: float, advised: bool
) -> None:
    prepared(tmp_path, split, held)
    told = instead_of_holding_out(plan_of(pairs, hours), tmp_path)
    assert bool(told) == advised
    if advised:
        assert (
            told.startswith(f"{held} of {held + pairs} pairs are held out")
            and "--holdout 0" in told
        )


def test_a_table_without_a_summary_gives_no_advice(tmp_path: Path) -> None:
    assert not instead_of_holding_out(plan_of(28, 8), tmp_path)
