"""Differences of scenes, their interval, and what is said of them."""

import numpy as np
import pytest

from kit.comparison.paired import (
    Comparison,
    SceneScore,
    Side,
    check_by_scene,
    common_scenes,
    paired,
)
from kit.errors import InputError
from kit.intervals import interval


def compared(
    first: list[float], second: list[float], measure: str = "mae", places: int | None = None
) -> Comparison:
    """A and B on scenes of so many places, one each if None."""
    sides = [
        Side(name, {f"s{i}": SceneScore(score, i % (places or 99)) for i, score in enumerate(each)})
        for name, each in (("A", first), ("B", second))
    ]
    return paired(measure, *sides)


HARD = [0.1, 0.9, 0.2, 0.5, 0.7, 0.3, 0.4, 0.8]


def test_a_small_gain_on_scenes_of_different_difficulty_is_certain() -> None:
    found = compared(HARD, [each - 0.01 for each in HARD])
    assert found.gain == pytest.approx(0.01)
    assert found.interval == pytest.approx((0.01, 0.01))
    assert (found.better, found.wins) == ("B", (0, 8))
    assert found.verdict == "B is better than A by 0.01 (0.01 to 0.01) mae on 8 scenes of 8 places"
    back = compared([each - 0.01 for each in HARD], HARD)
    assert (back.better, back.wins) == ("A", (8, 0))
    assert back.verdict == "A is better than B by 0.01 (0.01 to 0.01) mae on 8 scenes of 8 places"


def test_more_is_better_by_psnr() -> None:
    assert compared(HARD, [each + 1 for each in HARD], "psnr").better == "B"


def test_the_interval_is_that_of_the_differences_over_places() -> None:
    second = [*np.array(HARD) + np.linspace(-0.1, 0.2, 8)]
    found = compared(HARD, second, places=4)
    expected = interval(np.array(HARD) - second, [i % 4 for i in range(8)])
    assert found.interval == pytest.approx(expected) and found.places == 4
    assert found.verdict.startswith("4 places are too few to tell, 6 are needed: A leads B by 0.05")
    assert found.better == ""


def test_what_may_be_chance_is_no_difference() -> None:
    found = compared(HARD, [each + (0.1 if i % 2 else -0.09) for i, each in enumerate(HARD)])
    assert found.better == "" and found.interval[0] < 0 < found.interval[1]
    assert found.verdict.startswith("no difference beyond noise: A leads B by 0.005 (")
    assert "score the same on 8 scenes" in compared(HARD, HARD).verdict
    assert str(compared(HARD, HARD).gain) == "0.0"


def test_the_largest_gain_is_first() -> None:
    found = compared([0.5, 0.5, 0.5], [0.4, 0.6, 0.1])
    assert [each.scene for each in found.differences] == ["s2", "s0", "s1"]
    assert found.as_dict()["differences"][0]["scores"] == [0.5, 0.1]


def test_a_score_that_is_no_number_is_named() -> None:
    with pytest.raises(InputError, match=r"^B: its mae of s1 is nan"):
        compared([0.1, 0.2], [0.1, float("nan")])


def test_scenes_without_a_common_one() -> None:
    assert common_scenes(("A", ["a", "b", "c"]), ("B", ["c", "b", "x"])) == ["b", "c"]
    with pytest.raises(InputError, match="no scene is common: A has 2, a first, B has 1, x first"):
        common_scenes(("A", ["a", "b"]), ("B", ["x"]))
    with pytest.raises(InputError, match="B has 0"):
        common_scenes(("A", ["a", "b"]), ("B", []))


def test_common_scenes_of_many_are_found_at_once() -> None:
    compared: list[str] = []

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(self)
            return str.__eq__(self, other)

    many = [f"scene {number}" for number in range(500)]
    found = common_scenes(("A", map(Name, many)), ("B", map(Name, reversed(many))))
    assert len(compared) < 2 * len(many)
    assert [*map(str, found)] == many


@pytest.mark.parametrize(("measure", "problem"), [("best", "no such"), ("psnr_pooled", "of all")])
def test_measures_that_no_scene_has(measure: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        check_by_scene(measure)
