import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from kit.fitting import selection
from kit.fitting.methods import COLOR, MEDIAN, PLAIN, SINGLE, Method, methods
from kit.fitting.objectives import objective
from kit.fitting.observations import Image, Observations
from kit.fitting.selection import GROUPS, Selection, groups_of, select
from kit.intervals import interval
from kit.prediction.affine import Affine
from kit.prediction.combination import Combination
from kit.scaling import quantize
from tests.helpers.heldout import Made


def chosen(measure: str, made: Made) -> Selection:
    return select(measure, made.observed, made.found)


def score_of(selection: Selection, name: str) -> float:
    (found,) = [each.score for each in selection.candidates if each.name == name]
    return found


def test_members_alike_are_averaged_plainly() -> None:
    """What freer methods fit of such members is noise, of which none wins elsewhere."""
    for measure in ("mae", "psnr"):
        found = chosen(measure, Made([0.1, 0.1, 0.1]))
        assert found.chosen.name in (PLAIN, "median")
        assert found.chosen.combination.averaging in ("mean", "median")
        assert "not fitted on" in found.why or "better than" in found.why
        assert not found.doubts


@pytest.mark.slow
def test_a_bad_member_loses_its_weight() -> None:
    for measure in ("mae", "psnr", "official_2022"):
        made = Made([0.03, 0.03, 0.1], stretched=measure.startswith("official"))
        found = chosen(measure, made)
        averaging = found.chosen.combination.averaging
        assert isinstance(averaging, tuple), found.chosen.name
        assert averaging[2] < min(averaging[:2]) and "better than" in found.why


def test_members_that_no_colour_is_worse_than_are_left_out_of_the_plain_mean() -> None:
    found = chosen("mae", Made([0.05, 0.05, 0.5]))
    (plain,) = [each for each in found.candidates if each.name == PLAIN]
    assert plain.combination.averaging == (1, 1, 0)


def test_a_member_that_may_be_as_good_as_one_colour_stays_in_the_plain_mean() -> None:
    """It loses on average, by no more than chance explains, and often pays in a mean."""
    made = Made([0.05, 0.05])
    errors = np.abs(made.observed.truth - np.median(made.observed.truth, axis=(0, 2))[:, None])
    of_color = errors.mean(axis=(1, 2))
    for lost, averaging in ((0.002, "mean"), (0.02, (1, 0))):
        shift = of_color + lost + np.resize([0.03, -0.03], len(of_color))
        pixels = made.observed.pixels.copy()
        pixels[:, 1] = made.observed.truth + shift[:, None, None]
        observed = dataclasses.replace(made.observed, pixels=pixels)
        plain = methods("mae", 2)[1].fit("mae", observed, range(len(shift)))
        assert plain.averaging == averaging


def test_where_no_member_beats_one_colour_it_is_told() -> None:
    made = Made([0.4, 0.4], signal=0.02)
    found = chosen("mae", made)
    assert found.chosen.name != COLOR and any("one colour" in doubt for doubt in found.doubts)


@pytest.mark.slow
def test_no_official_fit_is_worse_than_one_colour_with_anchors() -> None:
    """Of noise alone, of which the best affine is the one without a slope."""
    for seed in range(3):
        made = Made([0.4, 0.4], stretched=True, signal=0.02, seed=seed)
        found = chosen("official_2022", made)
        color = score_of(found, f"{COLOR}, anchors")
        assert found.chosen.score <= color and found.chosen.combination.stretch == "anchors"


def test_an_official_fit_beats_the_mean_as_it_is() -> None:
    made = Made([0.1, 0.12], stretched=True, scenes=20)
    found = chosen("official_2022", made)
    assert found.chosen.combination.affine and found.chosen.combination.stretch == "anchors"
    assert found.chosen.score < 0.9 * score_of(found, PLAIN)
    assert found.chosen.gain == pytest.approx(score_of(found, PLAIN) - found.chosen.score)
    assert found.chosen.gain_interval[0] > 0


@pytest.mark.parametrize("measure", ["mae", "psnr", "official_2022"])
def test_no_ensemble_loses_to_a_member(measure: str) -> None:
    """On scenes so different that no gain is beyond noise."""
    for seed in range(2):
        made = Made([0.03, 0.085], scenes=8, seed=seed, stretched=measure.startswith("official"))
        found = chosen(measure, made)
        sign = -1 if measure == "psnr" else 1
        alone = min(sign * each.score for each in found.candidates if each.name.startswith(SINGLE))
        assert sign * found.chosen.score <= alone, found.why


def test_what_beats_a_mean_that_loses_to_its_member_may_be_chance_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selection, "interval", lambda values, places: (-1.0, 1.0))
    found = chosen("mae", Made([0.03, 0.085], scenes=8))
    assert found.chosen.name not in (PLAIN, COLOR)
    assert found.why.startswith("plain mean errs more than a member alone")
    alike = chosen("mae", Made([0.05, 0.05], scenes=8))
    assert alike.chosen.name == PLAIN and "no freer method" in alike.why


def test_few_places_decide_nothing() -> None:
    found = chosen("mae", Made([0.03, 0.1], scenes=5))
    assert found.chosen.name == PLAIN and "5 places" in found.doubts[0]


def test_of_few_places_no_member_is_dropped_that_is_not_hopeless() -> None:
    """Which member loses to one colour on five scenes is chance, and in a mean it may well help."""
    for measure, stretched in (("mae", False), ("psnr", False), ("official_2022", True)):
        for noises, averaging in (([0.05, 0.17], "mean"), ([0.05, 3.0], (1, 0))):
            made = Made(noises, scenes=5, stretched=stretched)
            costs = objective(measure, made.observed, range(5))
            plain = methods(measure, 2)[1].fit(measure, made.observed, range(5))
            assert costs.to_color(0) < 1 < costs.to_color(1), measure
            assert plain.averaging == averaging, (measure, costs.to_color(1))


@pytest.mark.parametrize("scenes", [5, 12])
def test_a_hopeless_member_is_left_out_by_the_servers_measure_however_many_places(
    scenes: int,
) -> None:
    """An affine would bring it to one colour, which costs no more than one colour does."""
    made = Made([0.02, 0.02], scenes=scenes, stretched=True)
    made.images = [[good, 65535 - good] for good, _ in made.images]
    found = chosen("official_2022", made)
    for each in found.candidates:
        if each.name.startswith(PLAIN):
            assert each.combination.averaging == (1, 0), each.name


@pytest.mark.parametrize("scenes", [5, 30])
def test_the_median_is_taken_wherever_it_gains_as_nothing_is_fitted(scenes: int) -> None:
    """Of three of which one errs by far in some pixels, and the others little."""
    made = Made([0.02, 0.02, 0.02], scenes=scenes)
    wild = np.random.default_rng(1).random((3, 16, 16)) < 0.1
    made.images = [[one, two, np.where(wild, 65535 - x, x)] for one, two, x in made.images]
    found = chosen("mae", made)
    assert found.chosen.name == MEDIAN and found.chosen.combination.averaging == "median"
    assert score_of(found, MEDIAN) < 0.9 * score_of(found, PLAIN)
    if scenes == 5:
        assert found.why.endswith(f", and the median gains {found.chosen.gain:.3g}")
        assert found.doubts  # that places are few


def test_anchors_are_taken_wherever_they_gain_as_nothing_is_fitted() -> None:
    made = Made([0.02, 0.02], stretched=True, scenes=5)
    noise = np.random.default_rng(1).normal(size=(3, 16, 16))
    timid = [quantize(0.5 + 0.4 * (truth - 0.5) + 0.1 * noise) for truth in made.truths]
    made.images = [[image, image] for image in timid]
    found = chosen("official_2022", made)
    assert found.chosen.combination.stretch == "anchors" and "anchors gain" in found.why
    assert found.chosen.score < score_of(found, PLAIN)


def test_a_scene_is_scored_by_what_was_not_fitted_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fit gives one colour, by which its image tells on which scenes it was fitted."""
    made, fitted, scored = Made([0.1]), list[list[int]](), list[int]()

    def fit(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
        fitted.append([*rows])
        level = (0, 0, len(fitted) - 1)
        return Combination("mean", Affine((level, level, level)))

    def score(measure: str, image: Image, truth: object) -> float:
        scored.append(int(image[0, 0, 0]))
        return 0.0

    monkeypatch.setattr(selection, "methods", lambda *_: (Method(COLOR, fit), Method(PLAIN, fit)))
    monkeypatch.setattr(selection, "score_image", score)
    chosen("mae", made)
    assert len(scored) == 2 * len(made.scenes)
    for number, which in enumerate(scored):
        rows = fitted[which]
        assert number // 2 not in rows and len(rows) >= len(made.scenes) - 3


def test_places_are_divided_evenly_and_not_in_two() -> None:
    places = [(str(number // 2), "0") for number in range(26)]
    groups = groups_of(places)
    assert groups[::2] == groups[1::2] == groups_of(places)[::2]
    assert sorted(Counter(groups[::2]).values()) == [2, 2, 3, 3, 3]
    assert len(set(groups_of(places[:6]))) == 3 < GROUPS


def test_methods_are_ordered_and_those_that_make_no_difference_left_out() -> None:
    assert [each.name for each in methods("mae", 1)] == [COLOR, PLAIN]
    names = [each.name for each in methods("official_2023", 3)]
    assert names[:2] == [f"{COLOR}, anchors", PLAIN] and len(names) == len(set(names)) == 9
    assert all(
        each.affine == name.endswith("affine, anchors")
        for each, name in zip(methods("official_2023", 3), names, strict=True)
    )


def test_an_interval_is_of_places() -> None:
    values = np.array([0.0, 0.0, 1.0, 1.0, 0.4, 0.6])
    low, high = interval(values, "aabbcc")
    assert 0 <= low < 0.5 < high <= 1
    assert interval(np.full(6, 0.3), "aabbcc") == (pytest.approx(0.3), pytest.approx(0.3))
    # Six scenes of six places tell more than six of three.
    wide, narrow = interval(values, "aabbcc"), interval(values, "abcdef")
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_the_same_predictions_give_the_same_fit() -> None:
    made = Made([0.1, 0.2, 0.15])
    found = chosen("mae", made)
    assert found == chosen("mae", made)
    assert isinstance(found.chosen.combination, Combination)
