"""What weights cost, beside the measures themselves on whole images."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from kit.averaging import average
from kit.fitting.methods import with_affine
from kit.fitting.objectives import OBJECTIVES, StretchedError, objective
from kit.fitting.observations import moments_of, stretch_image
from kit.fitting.selection import score_image
from kit.fitting.shrinkage import SHARES, fit_line
from kit.metrics import MEASURES, psnr
from kit.prediction.affine import parse_affine
from kit.prediction.combination import Combination
from kit.scaling import quantize, stretch
from tests.helpers.heldout import Made

ROWS = (0, 2, 3, 5, 7)


def test_every_measure_of_a_server_and_of_a_validation_can_be_fitted() -> None:
    assert {"mae", "psnr", "official_2022", "official_2023"} == OBJECTIVES.keys() & MEASURES.keys()


def test_squared_errors_are_exact_over_all_pixels() -> None:
    made = Made([0.1, 0.2, 0.3])
    costs = objective("psnr", made.observed, ROWS)
    weights = np.array([0.5, 0.2, 0.3, 0])
    mixed = sum(w * made.values(m) for m, w in enumerate(weights[:3]))
    assert costs.loss(weights) == pytest.approx(
        -np.mean([psnr(np.square(mixed[row] - made.truths[row]).mean()) for row in ROWS])
    )
    color = np.array(costs.color())[:, None, None]
    np.testing.assert_allclose(color[:, 0, 0], np.mean([made.truths[r] for r in ROWS], (0, 2, 3)))
    each = [psnr(np.square(color - made.truths[row]).mean()) for row in ROWS]
    single = costs.loss(np.array([1.0, 0, 0, 0]))
    assert single - costs.excess(0).mean() == pytest.approx(-np.mean(each))


def test_absolute_errors_are_those_of_the_pixels_that_were_drawn() -> None:
    made = Made([0.1, 0.2, 0.3], scenes=8)
    costs = objective("mae", made.observed, ROWS)
    weights = np.array([0.5, 0.2, 0.3, 0])
    mixed = sum(w * made.values(m) for m, w in enumerate(weights[:3]))
    exact = np.mean([np.abs(mixed[row] - made.truths[row]).mean() for row in ROWS])
    # As many are drawn as there are, with replacement; the same ones each time.
    assert costs.loss(weights) == pytest.approx(exact, rel=0.02)
    assert costs.loss(weights) == objective("mae", made.observed, ROWS).loss(weights)
    median = np.array([np.median(np.stack([made.truths[r][c] for r in ROWS])) for c in range(3)])
    np.testing.assert_allclose(costs.color(), median, atol=0.02)


@pytest.mark.parametrize("measure", OBJECTIVES)
def test_no_weights_on_a_grid_cost_less_than_those_of_the_simplex(measure: str) -> None:
    made = Made([0.1, 0.15, 0.3], stretched=measure.startswith("official"), scenes=20)
    costs = objective(measure, made.observed, range(20))
    found = costs.loss(np.append(costs.simplex(), 0))
    grid = [np.array([a, b, 10 - a - b, 0]) / 10 for a, b in product(range(11), repeat=2)]
    lowest = min(costs.loss(weights) for weights in grid if weights.min() >= 0)
    # The line of a stretched average is fitted anew for each, and shares are of a grid.
    assert found <= lowest + (1e-4 if measure.startswith("official") else 1e-6)


def test_the_median_is_the_last_of_the_sources() -> None:
    made = Made([0.1, 0.2, 0.3])
    observed = made.observed
    assert (observed.members, observed.sources) == (3, 4) and Made([0.1, 0.2]).observed.sources == 2
    median = np.stack([average(images, "median") for images in made.images]) / 65535
    np.testing.assert_allclose(observed.means[:, :, 3], median.mean((2, 3)))


def test_a_line_costs_what_it_errs_where_it_was_not_fitted() -> None:
    """Beside the same by images: each place is left out, and the line of the others is applied."""
    made = Made([0.15], stretched=True, scenes=7)
    pictures = [stretch_image(images[0]) / 65535 for images in made.images]
    places = made.places[:1] + made.places[:6]  # the first two are of one place
    mean = np.stack([x.mean((1, 2)) for x in pictures])
    variance = np.stack([x.var((1, 2)) for x in pictures])
    true_mean = np.stack([y.mean((1, 2)) for y in made.truths])
    true_variance = np.stack([y.var((1, 2)) for y in made.truths])
    covariance = np.stack(
        [(x * y).mean((1, 2)) for x, y in zip(pictures, made.truths, strict=True)]
    )
    covariance -= mean * true_mean

    def mean_error(within_share: float, between_share: float) -> float:
        errors = []
        for row, place in enumerate(places):
            others = [other for other in range(7) if places[other] != place]
            within = covariance[others].sum(0) / variance[others].sum(0)
            slopes = [np.polyfit(mean[others, c], true_mean[others, c], 1)[0] for c in range(3)]
            between = between_share * np.array(slopes)
            around = mean[others].mean(0)
            center = true_mean[others].mean(0) + between * (mean[row] - around)
            image = pictures[row] - mean[row][:, None, None]
            image = (within_share * within)[:, None, None] * image + center[:, None, None]
            errors.append(np.square(image - made.truths[row]).mean())
        return float(np.mean(errors))

    line = fit_line(mean, variance, covariance, true_mean, true_variance, places)
    every = [mean_error(a, b) for a, b in product(SHARES, repeat=2)]
    assert line.loss == pytest.approx(min(every))
    assert line.one_color == pytest.approx(mean_error(0, 0))
    costs = StretchedError(made.observed, range(7))
    assert costs.color() == pytest.approx(tuple(true_mean.mean(0)))


def test_an_affine_recovers_what_was_shrunk() -> None:
    """Half of a member's contrast is noise: half of it is taken back."""
    made = Made([0.1], stretched=True, scenes=30, signal=0.1)
    moments = moments_of(["mean"], made.found())["mean"]
    found = with_affine("mean", moments, made.observed, range(30))
    assert found.affine and found.stretch == "anchors"
    within = [channel[0] / 65536 for channel in found.affine.channels]
    costs = [
        np.mean([score_image("official_2022", each.apply(i), t) for i, t in made.found()])
        for each in (found, *(steeper(found, factor) for factor in (0.8, 1.25)))
    ]
    assert min(within) > 0.3 and min(costs) == costs[0]


def steeper(combination: Combination, factor: float) -> Combination:
    assert combination.affine
    channels = [[round(w * factor), b, o] for w, b, o in combination.affine.as_json()]
    return replace(combination, affine=parse_affine(channels))


def test_scores_of_images_are_those_of_the_measures() -> None:
    made = Made([0.2], stretched=True, scenes=1)
    image, truth = made.images[0][0], made.truths[0]
    assert score_image("mae", image, truth) == pytest.approx(np.abs(image / 65535 - truth).mean())
    mse = np.square(image / 65535 - truth).mean()
    assert score_image("psnr", image, truth) == pytest.approx(-10 * np.log10(mse))
    assert score_image("official_2023", image, truth) == pytest.approx(
        np.square(stretch(image) - truth).mean()
    )
    assert score_image("mae", quantize(truth), truth) < 1e-5
