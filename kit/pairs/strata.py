"""What pictures show, by their mean colours, and parts that show alike.

In: the mean colour of each picture, or what each of some units holds. Out: for each picture one of
eight strata of about equal size, from open water to snow; and for each unit one of several parts
that are about alike in number and in every stratum.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 3
_ROUNDS = 4  # in the later ones units change to a part that has become better
_DARKEST = 0.01  # of reflectance: keeps noise over water from deciding
UNKNOWN = 0
"""The stratum of a picture whose colour is not known."""
STRATA = 1 + 2**_HALVINGS


def strata(colors: Sequence[tuple[float, float, float] | None]) -> NDArray[np.intp]:
    """The stratum of each picture, by median cut: halves of halves of halves along the widest axis.

    Args:
        colors: mean red, green and blue in [0, 1] of each picture, None where it is not known.

    Returns:
        [n], from 0 to `STRATA` - 1; `UNKNOWN` for None.
    """
    found = np.full(len(colors), UNKNOWN)
    known = np.array([index for index, color in enumerate(colors) if color], dtype=np.intp)
    if not len(known):
        return found
    values = np.log(np.array([colors[index] for index in known], np.float64) + _DARKEST)
    boxes = [np.arange(len(known))]
    for _ in range(_HALVINGS):
        boxes = [half for box in boxes for half in _halves(values, box)]
    for number, box in enumerate(boxes, start=1):
        found[known[box]] = number
    return found


def deal(units: NDArray[np.float64], parts: int) -> list[int]:
    """The part of each unit, the largest dealt first, each to the part that has least of its kind.

    Args:
        units: [n, features], what each unit holds; the first two are its sizes, all pairs and those
            without clouds, and count as much as all others together.
        parts: how many; no more than units.

    Returns:
        From 0 to `parts` - 1; every part has a unit.
    """
    shares = units / np.maximum(units.sum(axis=0), 1)
    shares[:, :2] *= max(1, units.shape[1] - 2)
    loads = np.zeros((parts, units.shape[1]))
    counts = [0] * parts
    dealt = [-1] * len(units)
    order = sorted(range(len(units)), key=lambda unit: (-units[unit, 0], unit))
    for unit in order * _ROUNDS:
        before = dealt[unit]
        if before >= 0:
            if counts[before] == 1:
                continue
            loads[before] -= shares[unit]
            counts[before] -= 1
        # The sum of squares over parts grows least where this product is smallest.
        costs = loads @ shares[unit]
        now = min(range(parts), key=lambda part: (costs[part].round(12), counts[part], part))
        dealt[unit] = now
        loads[now] += shares[unit]
        counts[now] += 1
    return dealt


def _halves(values: NDArray[np.float64], box: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    if len(box) < 2:
        return [box]
    axis = int(np.argmax(np.ptp(values[box], axis=0)))
    order = box[np.argsort(values[box, axis], kind="stable")]
    return [order[: len(order) // 2], order[len(order) // 2 :]]
