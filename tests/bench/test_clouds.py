"""What the comparison of ways to choose Dataset-2 counts."""

from collections import Counter

import clouds
import pytest

PLACES = {f"scene {number}": f"place {number // 3}" for number in range(30)}


def test_a_choice_is_judged_by_what_it_drops() -> None:
    every = [*"abcdefgh"]
    choice = clouds.Choice("some", frozenset("abcd"))
    assert choice.detection(every, {"e", "f", "a"}) == (2 / 4, 2 / 3)
    assert clouds.Choice("all", frozenset(every)).detection(every, {"a"}) == (0, 0)


@pytest.mark.parametrize("division", range(3))
def test_folds_hold_every_scene_out_once_and_divide_no_place(division: int) -> None:
    held = clouds.folds(PLACES, 5, division)
    assert Counter(scene for fold in held for scene in fold) == dict.fromkeys(PLACES, 1)
    assert [len(fold) for fold in held] == [6] * 5
    for fold in held:
        assert set(Counter(PLACES[scene] for scene in fold).values()) == {3}


def test_divisions_differ_and_repeat() -> None:
    one, other = (clouds.folds(PLACES, 5, division) for division in (0, 1))
    assert one != other and one == clouds.folds(PLACES, 5, 0)


def test_the_ratio_is_of_means_over_the_same_scenes() -> None:
    rule = {(division, f"s{n}"): 0.1 + n / 100 for n in range(8) for division in range(2)}
    better = {key: value / 2 for key, value in rule.items()}
    assert clouds._ratio(rule, rule) == [1, 1, 1]
    assert clouds._ratio(better, rule) == pytest.approx([0.5, 0.5, 0.5])
    table = clouds.report(
        [clouds.Choice("the rule", frozenset("a")), clouds.Choice("other", frozenset("ab"))],
        [*"abc"],
        {"c"},
        {"the rule": rule, "other": better},
    )
    assert [(row["kept"], row["precision"], row["recall"]) for row in table] == [
        (1, 0.5, 1), (2, 1, 1)
    ]  # fmt: skip
