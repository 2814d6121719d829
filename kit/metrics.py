"""MAE, MSE and PSNR in [0, 1], and the measures of the challenge's own server.

In: images [3, H, W] of any real type. Out: plain floats, computed in float64. Refused: an image and
a truth of different shapes. The official measures follow the server's source: its page says MAE,
its code computes the MSE of images that are stretched between their own extremes.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError, no_such

_OFFICIAL = "official"  # how the names of the server's measures begin
Image = NDArray[np.generic]
Valid = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a report: the rule that it follows, and who shows it.

    `of_image` gives it for one image, its truth and the pixels that count, as `mae` does; a report
    has its mean over images. None for a number that is computed of others.
    """

    rule: str
    of_image: Callable[[Image, Image, Valid | None], float] | None = None
    more_is_better: bool = False
    shown: bool = True  # on the leaderboard without being asked for

    @property
    def sign(self) -> int:
        """What makes a cost of a score, of which less is better: 1, or -1 where more is."""
        return -1 if self.more_is_better else 1


@dataclass(frozen=True, slots=True)
class Scores:
    """Errors of `n` images in [0, 1], each image counting alike; both PSNR in dB.

    `others` are the means of what `MEASURES` has beside `mae` and `mse` for one image.
    """

    mae: float
    mse: float
    psnr: float
    psnr_pooled: float
    n: int
    others: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float]:
        """The numbers by their names."""
        own = {name: getattr(self, name) for name in ("mae", "mse", "psnr", "psnr_pooled", "n")}
        return own | self.others


def mae(image: Image, truth: Image, valid: Valid | None = None) -> float:
    """Mean absolute error over channels and the pixels [H, W] that `valid` admits; NaN if none."""
    return _mean(np.abs(_difference(image, truth)), valid)


def mse(image: Image, truth: Image, valid: Valid | None = None) -> float:
    """Mean squared error over channels and the pixels [H, W] that `valid` admits; NaN if none."""
    return _mean(np.square(_difference(image, truth)), valid)


def psnr(error: float) -> float:
    """PSNR in dB of a mean squared error in [0, 1]; infinite for an error of zero."""
    return math.inf if error == 0 else 10 * math.log10(1 / error)


MEASURES = {
    "mae": Measure(
        "mean absolute error in [0, 1] over channels and pixels with data, mean over images", mae
    ),
    "mse": Measure(
        "mean squared error in [0, 1] over channels and pixels with data, mean over images",
        mse,
        shown=False,
    ),
    "psnr": Measure("10 log10(1 / MSE) of each image in dB, mean over images", more_is_better=True),
    "psnr_pooled": Measure(
        "10 log10(1 / MSE) in dB, of the mean MSE of all images", more_is_better=True, shown=False
    ),
    "stretched_mae": Measure(
        "MAE of an image and the truth nearest in date, both stretched as the server does, over "
        "all pixels, mean over images",
        shown=False,
    ),
    "stretched_psnr": Measure(
        "10 log10(1 / MSE) in dB of the same stretched images, mean over images",
        more_is_better=True,
        shown=False,
    ),
    "official_2022": Measure(
        "MSE of stretched images: the best submission for each truth, summed over the truths of a "
        "SAR input, mean over inputs"
    ),
    "official_2023": Measure(
        "MSE of stretched images: the best truth for each submission, summed over the submissions "
        "of a SAR input, mean over inputs"
    ),
}
"""Every number of a report; a new one with an `of_image` needs no other line."""


def check_measure(measure: str | None) -> None:
    """Refuse a name that `MEASURES` lacks; None is no name.

    Raises:
        InputError: says which there are.
    """
    if measure is not None and measure not in MEASURES:
        raise no_such("measure", measure, MEASURES)


def check_validated(measure: str) -> None:
    """Refuse a measure that no validation computes.

    Raises:
        InputError: says which there are.
    """
    check_measure(measure)
    if measure.startswith("stretched"):
        remedy = "take official_2022, or compare two by it: kit compare A B --measure " + measure
        raise InputError(measure, "is not computed by kit validate and kit report", remedy=remedy)


def better(measure: str, one: float, other: float) -> bool:
    """Whether `one` is a better score than `other` by a measure of `MEASURES`."""
    return one > other if MEASURES[measure].more_is_better else one < other


def is_official_measure(measure: str) -> bool:
    """Whether it is a measure of the server."""
    return measure.startswith(_OFFICIAL)


def is_stretched_measure(measure: str) -> bool:
    """Whether a measure compares images as the server stretches them."""
    return measure.startswith((_OFFICIAL, "stretched"))


def official_of(measure: str) -> str:
    """The official measure that a table shows where `measure` counts; that of 2022 for others."""
    return measure if is_official_measure(measure) else f"{_OFFICIAL}_2022"


def anchored(measure: str) -> str:
    """What an official measure of images with anchors is called."""
    return f"{measure}, anchors"


def image_measures() -> tuple[str, ...]:
    """The measures of one image."""
    return tuple(name for name, measure in MEASURES.items() if measure.of_image)


def errors(image: Image, truth: Image, valid: Valid | None = None) -> dict[str, float]:
    """Every measure that `MEASURES` has for one image."""
    return {
        name: measure.of_image(image, truth, valid)
        for name, measure in MEASURES.items()
        if measure.of_image
    }


def summarise(images: Sequence[Mapping[str, float]]) -> Scores:
    """The scores of a set of images, given the `errors` of each.

    Raises:
        ValueError: there is no image.
    """
    if not images:
        raise ValueError("no image to score")
    means = {name: statistics.fmean(each[name] for each in images) for name in images[0]}
    decibels = statistics.fmean(psnr(each["mse"]) for each in images)
    absolute, squared = means.pop("mae"), means.pop("mse")
    return Scores(absolute, squared, decibels, psnr(squared), len(images), means)


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


def _difference(image: Image, truth: Image) -> NDArray[np.float64]:
    if image.shape != truth.shape:
        raise ValueError(f"shapes differ: {image.shape} and {truth.shape}")
    return image.astype(np.float64, copy=False) - truth.astype(np.float64, copy=False)


def _mean(errors: NDArray[np.float64], valid: Valid | None) -> float:
    counted = errors if valid is None or valid.all() else errors[:, valid]
    return float(counted.mean()) if counted.size else math.nan
