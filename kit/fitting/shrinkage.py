"""The affine that brings an average to the server's space, shrunk as far as pays elsewhere.

In: for each scene and channel the mean and the variance of the average and of its truth, and their
covariance. Out: for each channel a slope of the pixels around the mean of their image, a slope of
these means, and an offset. Both slopes are least squares times a share from 0 to 1, which is chosen
on places that were left out. With both shares 0 it is one colour: the mean of the truths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from kit.fitting.observations import Floats

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_FLAT = 1e-12  # a variance of images in [0, 1] that is none


@dataclass(frozen=True, slots=True)
class Line:
    """An affine in floats: `within`, `between` and `offset` of images in [0, 1] for each channel.

    `loss` is its mean squared error on places that were left out, and `one_color` that of both
    slopes 0.
    """

    channels: tuple[tuple[float, float, float], ...]
    loss: float
    one_color: float


def fit_line(
    mean: Floats,
    variance: Floats,
    covariance: Floats,
    true_mean: Floats,
    true_variance: Floats,
    places: Sequence[object],
) -> Line:
    """Fit by least squares and shrink.

    Args:
        mean: of the average, [S, 3], as all that follow.
        variance: of its pixels around it.
        covariance: of its pixels and those of the truth.
        true_mean: of the truth.
        true_variance: of its pixels.
        places: where each of the S scenes is; they are left out together.
    """
    known = {place: number for number, place in enumerate(dict.fromkeys(places))}
    at = np.array([known[place] for place in places])
    member = np.equal.outer(np.arange(len(known)), at).astype(float)  # [places, S]
    # What each place leaves to the others; one place alone is left in.
    left = member.sum(axis=0) - member if len(known) > 1 else member
    within = _slope(left @ covariance, left @ variance)
    count = left.sum(axis=1, keepdims=True)
    center, true_center = left @ mean / count, left @ true_mean / count
    between = _slope(
        left @ (mean * true_mean) / count - center * true_center,
        left @ np.square(mean) / count - np.square(center),
    )
    inner = [
        (np.square(share * within[at]) * variance - 2 * share * within[at] * covariance)
        for share in SHARES
    ]
    outer = [
        np.square(true_center[at] + share * between[at] * (mean - center[at]) - true_mean)
        for share in SHARES
    ]
    losses = {
        (a, b): float((inner[a] + outer[b] + true_variance).mean())
        for a, b in product(range(len(SHARES)), repeat=2)
    }
    a, b = min(losses, key=lambda shares: losses[shares])
    slope = SHARES[a] * _slope(covariance.sum(axis=0), variance.sum(axis=0))
    follow = SHARES[b] * _slope(
        (mean * true_mean).mean(axis=0) - mean.mean(axis=0) * true_mean.mean(axis=0),
        mean.var(axis=0),
    )
    offset = true_mean.mean(axis=0) - follow * mean.mean(axis=0)
    channels = np.stack([slope, follow, offset], axis=1).tolist()
    return Line(tuple((s, f, o) for s, f, o in channels), losses[a, b], losses[0, 0])


def _slope(covariance: Floats, variance: Floats) -> Floats:
    return np.where(variance > _FLAT, covariance / np.maximum(variance, _FLAT), 0.0)
