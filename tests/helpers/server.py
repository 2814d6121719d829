"""The measures of the servers of 2022 and 2023 in plain loops, from what challenge.md says of them.

Nothing of the kit is used here: images come in as lists of rows of numbers, sums are exact.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def server_2022(
    mapping: Mapping[str, Mapping[str, Sequence[str]]],
    truths: Mapping[str, NDArray],
    sent: Mapping[str, NDArray],
) -> float:
    """For each truth the best of its submissions; their sum in a SAR input; the mean of inputs."""
    sums = []
    for listed in mapping.values():
        total = 0.0
        for truth, names in listed.items():
            best = math.inf
            for name in names:
                best = min(best, error(truths[truth], sent[name]))
            total += best
        sums.append(total)
    return math.fsum(sums) / len(sums)


def server_2023(
    mapping: Mapping[tuple[str, ...], Sequence[str]],
    truths: Mapping[str, NDArray],
    sent: Mapping[str, NDArray],
) -> float:
    """For each submission the best of the truths; their sum in a SAR input; the mean of inputs."""
    sums = []
    for names, listed in mapping.items():
        total = 0.0
        for name in names:
            best = math.inf
            for truth in listed:
                best = min(best, error(truths[truth], sent[name]))
            total += best
        sums.append(total)
    return math.fsum(sums) / len(sums)


def error(truth: NDArray, sent: NDArray) -> float:
    """The mean squared difference of two images, each stretched channel by channel."""
    squares = []
    for one, two in zip(channels(truth), channels(sent), strict=True):
        for a, b in zip(stretched(one), stretched(two), strict=True):
            squares.append((a - b) ** 2)
    return math.fsum(squares) / len(squares)


def absolute_error(truth: NDArray, sent: NDArray) -> float:
    """The mean absolute difference of the same two images."""
    differences = []
    for one, two in zip(channels(truth), channels(sent), strict=True):
        for a, b in zip(stretched(one), stretched(two), strict=True):
            differences.append(abs(a - b))
    return math.fsum(differences) / len(differences)


def channels(image: NDArray) -> list[list[float] | list[np.float32]]:
    """Three lists of values; bands that come last are put first. float32 stays what it is."""
    if image.shape[2] == 3:
        image = image.transpose(2, 0, 1)
    kind = np.float32 if image.dtype == np.float32 else float
    return [[kind(value) for row in channel for value in row.tolist()] for channel in image]


def stretched(values: list[float] | list[np.float32]) -> list[float]:
    """Between the own extremes, in the type of the values; all zeros if they are the same."""
    low, high = min(values), max(values)
    divisor = high - low if high != low else type(low)(1)
    return [float((value - low) / divisor) for value in values]


def stretched_by_hand(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each channel of [3, H, W] between its own extremes, one after the other."""
    out = np.zeros(image.shape)
    for c in range(3):
        low, high = image[c].min(), image[c].max()
        out[c] = (image[c] - low) / (high - low if high > low else 1)
    return out
