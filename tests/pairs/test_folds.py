"""Every pair is held out once, whole places or groups at a time, by folds that are alike."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import InputError
from kit.ground import sharing_ground
from kit.pairs.folds import assign, take_fold
from kit.pairs.groups import read_groups
from kit.pairs.strata import STRATA, deal, strata
from kit.pairs.table import Pair, holdout_pairs, train_pairs
from tests.helpers.pairs import grid, spread


def table(path: Path, pairs: tuple[Pair, ...], group: str = "{lat}") -> Path:
    lines = {f"{p.optical.lon},{p.optical.lat},{group.format(lat=p.optical.lat)}" for p in pairs}
    path.write_text("\n".join(["lon,lat,group", *sorted(lines)]) + "\n")
    return path


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(8, 60), st.integers(1, 4), st.integers(2, 5))
def test_every_pair_is_held_out_once_and_none_is_trained_on_its_ground(
    places: int, dates: int, folds: int
) -> None:
    pairs = spread(places, dates)
    found = [take_fold(pairs, fold, folds) for fold in range(1, folds + 1)]
    held = [pair.optical for fold in found for pair in fold.held]
    assert sorted(held) == sorted(pair.optical for pair in pairs)
    assert len({fold.sha256 for fold in found}) == 1
    for fold in found:
        grounds = [pair.place for pair in fold.train]
        assert not sharing_ground(grounds, [pair.place for pair in fold.held], 256)
        assert {*fold.train, *fold.held} == {*pairs}


def test_what_overlaps_the_held_out_is_kept_out_of_training() -> None:
    pairs = grid(36)  # a contiguous grid, each tile overlapping its neighbours
    for number in range(1, 4):
        fold = take_fold(pairs, number, 3)
        grounds = [pair.place for pair in fold.train]
        assert fold.train and fold.held and len(fold.train) + len(fold.held) < len(pairs)
        assert not sharing_ground(grounds, [pair.place for pair in fold.held], 256)


def test_the_hold_out_of_the_table_is_in_no_fold() -> None:
    pairs = tuple(
        replace(pair, split="holdout" if number % 7 == 0 else "train")
        for number, pair in enumerate(spread(30))
    )
    held = {pair.optical for number in (1, 2) for pair in take_fold(pairs, number, 2).held}
    assert not held.intersection(pair.optical for pair in holdout_pairs(pairs))
    assert held == {pair.optical for pair in train_pairs(pairs, 1)}


def test_folds_are_alike_in_number_and_in_what_they_show() -> None:
    random = np.random.default_rng(0)
    water, forest, snow = (0.02, 0.03, 0.05), (0.03, 0.07, 0.03), (0.9, 0.9, 0.9)
    kinds = [water] * 60 + [forest] * 30 + [snow] * 10
    pairs = tuple(
        replace(pair, color=tuple(np.clip(np.array(color) * random.uniform(0.9, 1.1), 0, 1)))
        for pair, color in zip(spread(100), kinds, strict=True)
    )
    numbers = assign(pairs, 5)
    assert set(Counter(numbers).values()) == {20}
    for kind, count in ((water, 60), (forest, 30), (snow, 10)):
        each = Counter(n for n, other in zip(numbers, kinds, strict=True) if other is kind)
        assert max(each.values()) <= count / 5 + 2 and min(each.values()) >= count / 5 - 2


def test_the_division_does_not_depend_on_where_tiles_lie_or_on_clouds() -> None:
    pairs = spread(20, 2)
    moved = tuple(replace(pair, optical_paths=(Path("x"),) * 3, cloud=0.5) for pair in pairs)
    assert assign(pairs, 4) == assign(moved, 4)


def test_groups_stay_whole_and_need_no_buffer(tmp_path: Path) -> None:
    pairs = grid(36)
    groups = read_groups(table(tmp_path / "groups.csv", pairs))
    folds = [take_fold(pairs, number, 3, groups) for number in (1, 2, 3)]
    rows = [{pair.optical.lat for pair in fold.held} for fold in folds]
    assert sorted(lat for lats in rows for lat in lats) == sorted({p.optical.lat for p in pairs})
    assert all(len(fold.train) + len(fold.held) == len(pairs) for fold in folds)
    assert folds[0].sha256 != take_fold(pairs, 1, 3).sha256


def test_places_are_numbers_and_the_order_of_lines_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("group,lon,lat,note\nx,-54.480,3\ny,1,2.50\n")
    (tmp_path / "b.csv").write_text("\ufefflon,lat,group\n1.00,2.5,y\n-54.48,3.0,x\n")
    first, second = (read_groups(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert first.of([("-54.48", "3.00")]) == {("-54.48", "3.00"): "x"}
    assert first.sha256 == second.sha256


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no such file"),
        ("", "lists no place"),
        ("lon,lat,group\n", "lists no place"),
        ("lon,lat,country\n1,2,x\n", "no column group"),
        ("lon,lat,group\n1,north,x\n", "line 2 has '1' and 'north'"),
        ("lon,lat,group\n1,2,x\n1.0,2,y\n", "line 3 has y for the place"),
        ("lon,lat,group\n1,2,\n", "line 2 has no group"),
        ("lon,lat,group\n1,nan,x\n", "line 2"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    path = tmp_path / "groups.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=problem) as error:
        read_groups(path)
    assert error.value.where == str(path)


def test_a_pair_without_a_group_is_named(tmp_path: Path) -> None:
    pairs = spread(12)
    groups = read_groups(table(tmp_path / "groups.csv", pairs[1:]))
    with pytest.raises(InputError, match=f"1 places of pairs: {pairs[0].optical.lon}_"):
        take_fold(pairs, 1, 2, groups)


def test_fewer_groups_or_places_than_folds_is_an_error(tmp_path: Path) -> None:
    pairs = spread(12)
    with pytest.raises(InputError, match="2 groups of pairs, for 3 folds") as error:
        take_fold(pairs, 1, 3, read_groups(table(tmp_path / "groups.csv", pairs)))
    assert "--folds 2" in error.value.remedy
    with pytest.raises(InputError, match="5 folds of pairs of 3 places"):
        take_fold(spread(3), 1, 5)


def test_a_fold_that_leaves_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(InputError, match="leaves none to train on"):
        take_fold(grid(2), 1, 2)


def test_strata_are_of_about_equal_size() -> None:
    random = np.random.default_rng(1)
    colors = [tuple(color) for color in random.random((80, 3))]
    found = strata([*colors, None])
    assert Counter(found.tolist()) == {0: 1} | dict.fromkeys(range(1, STRATA), 10)
    assert strata([]).tolist() == [] and strata([None]).tolist() == [0]


@given(st.lists(st.integers(1, 50), min_size=4, max_size=40), st.integers(1, 4))
def test_every_part_is_dealt_something(sizes: list[int], parts: int) -> None:
    units = np.array([[size, size % 3] for size in sizes], np.float64)
    dealt = deal(units, parts)
    assert set(dealt) == set(range(parts))
    loads = [
        sum(s for s, d in zip(sizes, dealt, strict=True) if d == part) for part in range(parts)
    ]
    assert max(loads) - min(loads) <= 3 * max(sizes)
