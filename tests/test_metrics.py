import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.regression import MeanAbsoluteError

from kit import metrics
from kit.scaling import stretch
from tests.helpers.server import server_2022, server_2023, stretched_by_hand


def batch(seed: int, n: int = 5, size: int = 16) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    truth = random.random((n, 3, size, size))
    return np.clip(truth + random.normal(0, 0.1, truth.shape), 0, 1), truth


def scores(images: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> metrics.Scores:
    return metrics.summarise([metrics.errors(image, truth) for image, truth in images])


def test_scores_agree_with_torchmetrics() -> None:
    images, truths = batch(0)
    found = scores(zip(images, truths, strict=True))
    image, truth = torch.from_numpy(images), torch.from_numpy(truths)
    each = PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean")
    pooled = PeakSignalNoiseRatio(data_range=1.0)
    assert found.mae == pytest.approx(MeanAbsoluteError()(image, truth).item(), rel=1e-6)
    assert found.psnr == pytest.approx(each(image, truth).item(), rel=1e-6)
    assert found.psnr_pooled == pytest.approx(pooled(image, truth).item(), rel=1e-6)
    assert found.n == 5


def test_psnr_of_an_image_agrees_with_scikit_image() -> None:
    images, truths = batch(1, n=1)
    expected = peak_signal_noise_ratio(truths[0], images[0], data_range=1.0)
    assert metrics.psnr(metrics.mse(images[0], truths[0])) == pytest.approx(expected, rel=1e-12)


def test_the_two_psnr_differ_and_the_mean_is_the_larger() -> None:
    truth = np.full((3, 4, 4), 0.5)
    found = scores([(truth + 0.1, truth), (truth + 0.01, truth)])
    assert found.psnr == pytest.approx(30)
    assert found.psnr_pooled == pytest.approx(-10 * math.log10((0.01 + 0.0001) / 2))


def test_a_perfect_image_has_infinite_psnr() -> None:
    truth = batch(2)[1]
    found = scores(zip(truth, truth, strict=True))
    assert (found.mae, found.mse) == (0, 0)
    assert math.isinf(found.psnr) and math.isinf(found.psnr_pooled)


def test_integers_are_not_wrapped() -> None:
    dark, bright = np.zeros((3, 2, 2), np.uint16), np.full((3, 2, 2), 3, np.uint16)
    assert metrics.mae(dark, bright) == metrics.mae(bright, dark) == 3
    assert metrics.mse(dark, bright) == 9


def test_masked_pixels_do_not_count() -> None:
    images, truths = batch(3, n=1)
    image, truth = images[0], truths[0]
    valid = np.random.default_rng(3).random(truth.shape[1:]) < 0.5
    spoilt = np.where(valid, image, 1e6)
    assert metrics.mae(spoilt, truth, valid) == pytest.approx(
        np.abs(image - truth)[:, valid].mean()
    )
    assert metrics.mse(spoilt, truth, valid) == pytest.approx(
        np.square(image - truth)[:, valid].mean()
    )
    assert math.isnan(metrics.mae(image, truth, np.zeros_like(valid)))


def test_images_of_other_shapes_are_refused_rather_than_broadcast() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        metrics.mae(np.zeros((3, 1, 1)), np.zeros((3, 4, 4)))
    with pytest.raises(ValueError, match="no image"):
        metrics.summarise([])


def test_official_measures_agree_with_the_servers_rule_written_out() -> None:
    random = np.random.default_rng(5)
    sums_2022, sums_2023, inputs = [], [], []
    for truths, submissions in ((1, 1), (3, 1), (2, 3)):
        true, sent = random.random((truths, 3, 8, 8)), random.random((submissions, 3, 8, 8))
        error = {
            (t, s): float(((stretched_by_hand(true[t]) - stretched_by_hand(sent[s])) ** 2).mean())
            for t in range(truths)
            for s in range(submissions)
        }
        sums_2022.append(sum(min(error[t, s] for s in range(submissions)) for t in range(truths)))
        sums_2023.append(sum(min(error[t, s] for t in range(truths)) for s in range(submissions)))
        inputs.append(np.array([
            [metrics.mse(stretch(s), stretch(t)) for s in sent] for t in true
        ]))  # fmt: skip
    assert metrics.official_2022(inputs) == pytest.approx(sum(sums_2022) / 3)
    assert metrics.official_2023(inputs) == pytest.approx(sum(sums_2023) / 3)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    shape=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3),
    dtype=st.sampled_from(["uint8", "uint16", "float32", "float64"]),
    flat=st.sets(st.integers(0, 2)),
)
def test_official_measures_are_those_of_loops_to_twelve_digits(
    seed: int, shape: list[tuple[int, int]], dtype: str, flat: set[int]
) -> None:
    """Several truths and submissions an input, any pixel type, channels of one value."""
    random = np.random.default_rng(seed)
    high = np.iinfo(dtype).max if "uint" in dtype else 1.0

    def made() -> NDArray[np.generic]:
        image = (random.random((3, 4, 5)) * high).astype(dtype)
        for channel in flat:
            image[channel] = image[channel, 0, 0]
        return image

    truths, sent, listed, given, inputs = {}, {}, {}, {}, []
    for number, (rows, columns) in enumerate(shape):
        names = tuple(f"s{number}{column}" for column in range(columns))
        truths |= (here := {f"t{number}{row}": made() + made() // 2 for row in range(rows)})
        sent |= {name: made() for name in names}
        listed[f"sar {number}"] = dict.fromkeys(here, names)
        given[names] = tuple(here)
        inputs.append(np.array([
            [metrics.mse(stretch(sent[name]), stretch(truth)) for name in names]
            for truth in here.values()
        ]))  # fmt: skip
    assert abs(metrics.official_2022(inputs) - server_2022(listed, truths, sent)) < 1e-12
    assert abs(metrics.official_2023(inputs) - server_2023(given, truths, sent)) < 1e-12


def test_a_submission_that_is_not_listed_for_a_truth_is_not_its_best() -> None:
    errors = np.array([[0.3, np.inf], [0.1, 0.2]])
    assert metrics.official_2022([errors]) == pytest.approx(0.4)
    assert metrics.official_2023([errors]) == pytest.approx(0.3)


def test_every_score_has_a_rule() -> None:
    fields = set(metrics.Scores.__dataclass_fields__) - {"n", "others"}
    others = {"official_2022", "official_2023", "stretched_mae", "stretched_psnr"}
    assert metrics.MEASURES.keys() >= fields | others
    assert all(each.rule and "\n" not in each.rule for each in metrics.MEASURES.values())
