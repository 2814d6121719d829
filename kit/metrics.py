"""MAE, MSE and PSNR in [0, 1], and the measures of the challenge's own server.

In: images [3, H, W] of any real type. Out: plain floats, computed in float64. Refused: an image and
a truth of different shapes. The official measures follow the server's source: its page says MAE,
its code computes the MSE of images that are stretched between their own extremes.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RULES = {
    "mae": "mean absolute error in [0, 1] over channels and pixels with data, mean over images",
    "mse": "mean squared error in [0, 1] over channels and pixels with data, mean over images",
    "psnr": "10 log10(1 / MSE) of each image in dB, mean over images",
    "psnr_pooled": "10 log10(1 / MSE) in dB, of the mean MSE of all images",
    "stretched_mae": "MAE of an image and the truth nearest in date, both stretched as the server "
    "does, over all pixels, mean over images",
    "stretched_psnr": "10 log10(1 / MSE) in dB of the same stretched images, mean over images",
    "official_2022": "MSE of stretched images: the best submission for each truth, summed over the "
    "truths of a SAR input, mean over inputs",
    "official_2023": "MSE of stretched images: the best truth for each submission, summed over the "
    "submissions of a SAR input, mean over inputs",
}


@dataclass(frozen=True, slots=True)
class Scores:
    """Errors of `n` images in [0, 1], each image counting alike; both PSNR in dB."""

    mae: float
    mse: float
    psnr: float
    psnr_pooled: float
    n: int


def mae(
    image: NDArray[np.generic], truth: NDArray[np.generic], valid: NDArray[np.bool_] | None = None
) -> float:
    """Mean absolute error over channels and the pixels [H, W] that `valid` admits; NaN if none."""
    return _mean(np.abs(_difference(image, truth)), valid)


def mse(
    image: NDArray[np.generic], truth: NDArray[np.generic], valid: NDArray[np.bool_] | None = None
) -> float:
    """Mean squared error over channels and the pixels [H, W] that `valid` admits; NaN if none."""
    return _mean(np.square(_difference(image, truth)), valid)


def psnr(error: float) -> float:
    """PSNR in dB of a mean squared error in [0, 1]; infinite for an error of zero."""
    return math.inf if error == 0 else 10 * math.log10(1 / error)


def scores(images: Iterable[tuple[NDArray[np.generic], NDArray[np.generic]]]) -> Scores:
    """The scores of a set of (image, truth), both [3, H, W] in [0, 1]; read one at a time.

    Raises:
        ValueError: there is no image, or an image and its truth differ in shape.
    """
    return summarise([(mae(image, truth), mse(image, truth)) for image, truth in images])


def summarise(errors: Sequence[tuple[float, float]]) -> Scores:
    """The scores of a set of images, given the (MAE, MSE) of each.

    Raises:
        ValueError: there is no image.
    """
    if not errors:
        raise ValueError("no image to score")
    absolute = statistics.fmean(error for error, _ in errors)
    squared = statistics.fmean(error for _, error in errors)
    decibels = statistics.fmean(psnr(error) for _, error in errors)
    return Scores(absolute, squared, decibels, psnr(squared), len(errors))


def official_2022(inputs: Sequence[NDArray[np.float64]]) -> float:
    """The server's score of 2022; lower is better.

    Args:
        inputs: for each SAR input the MSE [truths, submissions] of stretched images, infinite where
            a submission is not listed for a truth.
    """
    return float(np.mean([errors.min(axis=1).sum() for errors in inputs]))


def official_2023(inputs: Sequence[NDArray[np.float64]]) -> float:
    """The server's score of 2023, from the same arrays as `official_2022`; lower is better."""
    return float(np.mean([errors.min(axis=0).sum() for errors in inputs]))


def _difference(image: NDArray[np.generic], truth: NDArray[np.generic]) -> NDArray[np.float64]:
    if image.shape != truth.shape:
        raise ValueError(f"shapes differ: {image.shape} and {truth.shape}")
    return image.astype(np.float64, copy=False) - truth.astype(np.float64, copy=False)


def _mean(errors: NDArray[np.float64], valid: NDArray[np.bool_] | None) -> float:
    counted = errors if valid is None or valid.all() else errors[:, valid]
    return float(counted.mean()) if counted.size else math.nan
