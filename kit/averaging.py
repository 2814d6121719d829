"""Images of several members -> one, exact to the last bit.

In: uint16 images [3, H, W] of one scene. Out: their mean, median or weighted mean, rounded half up.
Refused by name: weights that are not numbers, or not one for each member.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.plain_text import count_of

Averaging = Literal["mean", "median"] | tuple[int, ...]
"""How images are averaged: by mean, by median, or with these weights, integers."""
# 65535 times the sum of the weights, and half of that sum, fit into 32 and into 64 bits.
_SMALL_WEIGHTS, _MOST_WEIGHTS = 1 << 16, 1 << 48
_WIDEST = 400  # powers of ten; floats have 324


def parse_averaging(text: str, variants: Sequence[str]) -> Averaging:
    """Parse `--average`; weights become integers without a common divisor.

    Args:
        text: "mean", "median", or a weight for each variant, "4,2,1"; only their ratios count, and
            those are exact: "0.1,0.3" is (1, 3). Equal weights are the mean.
        variants: the members of the ensemble, in its order.

    Raises:
        InputError: it is none of these, or a weight is negative or not finite, or all are zero, or
            the integers add up to more than 2**48.
    """
    if text == "median":
        return "median"
    if text == "mean":
        return "mean"
    remedy = f"give mean, median, or a weight for each of {','.join(variants)}"
    if text.isalpha():
        raise InputError("--average", f"unknown method {text[:40]!r}", remedy=remedy)
    given = [_weight(part, remedy) for part in text.split(",")]
    if len(given) != len(variants):
        problem = f"{count_of(len(given), 'weight')} for {count_of(len(variants), 'member')}"
        raise InputError("--average", problem, remedy=remedy)
    if not any(given):
        raise InputError("--average", "all weights are zero", remedy=remedy)
    scale = math.lcm(*(weight.denominator for weight in given))
    integers = [int(weight * scale) for weight in given]
    return reduced(integers)


def spread(averaging: Averaging, counts: Sequence[int]) -> Averaging:
    """How images are averaged where each member has several, which share its weight equally.

    Args:
        averaging: of the members.
        counts: how many images each has. The median is that of all images.

    Raises:
        InputError: the weights that they share add up to more than 2**48.
    """
    if averaging == "median":
        return averaging
    weights = (1,) * len(counts) if averaging == "mean" else averaging
    scale = math.lcm(*counts)
    each = [w * scale // n for w, n in zip(weights, counts, strict=True) for _ in range(n)]
    return reduced(each)


def reduced(integers: Sequence[int]) -> Averaging:
    """Weights of these ratios without a common divisor; the mean if they are equal.

    Raises:
        InputError: they add up to more than 2**48.
    """
    divisor = math.gcd(*integers)
    weights = tuple(weight // divisor for weight in integers)
    if sum(weights) > _MOST_WEIGHTS:
        problem = "the weights, as integers, add up to more than 2**48"
        raise InputError("--average", problem, remedy="give fewer digits")
    return "mean" if set(weights) == {1} else weights


def averaging_text(averaging: Averaging) -> str:
    """The text that `parse_averaging` reads as this."""
    return averaging if isinstance(averaging, str) else ",".join(map(str, averaging))


def average(
    images: Sequence[NDArray[np.uint16]], averaging: Averaging = "mean"
) -> NDArray[np.uint16]:
    """The exact mean, median or weighted mean of images [3, H, W], halves rounded up.

    Args:
        images: of one size.
        averaging: as `parse_averaging` returns it. The median of an even number of images is the
            mean of the middle two.

    Raises:
        ValueError: no image is given, their shapes differ, or there are not as many weights, or
            these add up to nothing or to more than 2**48.
    """
    if len({image.shape for image in images}) != 1:
        raise ValueError(f"cannot average images of shapes {[image.shape for image in images]}")
    if len(images) == 1 and isinstance(averaging, str):
        return images[0].copy()
    if averaging == "median":
        return _median(images)
    weights = (1,) * len(images) if averaging == "mean" else averaging
    total_weight = sum(weights)
    if not 0 < total_weight <= _MOST_WEIGHTS or min(weights) < 0:
        raise ValueError(f"cannot average with weights {weights}")
    # In integers, so that no machine's floating point decides a last digit of the archive.
    wide = np.uint32 if total_weight <= _SMALL_WEIGHTS else np.uint64
    total = np.zeros(images[0].shape, wide)
    for image, weight in zip(images, weights, strict=True):
        total += image if weight == 1 else image * wide(weight)
    return ((total + total_weight // 2) // total_weight).astype(np.uint16)


def _median(images: Sequence[NDArray[np.uint16]]) -> NDArray[np.uint16]:
    # Sorted image by image: numpy's sort along so short an axis is 35 times slower for three.
    ranked: list[NDArray[np.uint16]] = []
    for image in images:
        highest = image
        for place, other in enumerate(ranked):
            ranked[place], highest = np.minimum(other, highest), np.maximum(other, highest)
        ranked.append(highest)
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    middle: NDArray[np.uint16] = high - (high - low) // 2
    return middle


def _weight(text: str, remedy: str) -> Fraction:
    """A weight exactly as it is written."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        problem = "is not a number"
    else:
        if not number.is_finite():
            problem = "is not finite"
        elif number < 0:
            problem = "is negative"
        elif abs(number.adjusted()) > _WIDEST:
            # As an integer it would have as many digits, and be slow.
            problem = f"is not between 1e-{_WIDEST} and 1e{_WIDEST}"
        else:
            return Fraction(number)
    raise InputError("--average", f"{text[:40]!r} {problem}", remedy=remedy)
