"""How well one order of things agrees with another: Kendall's tau, and what chance alone gives.

In: two scores of the same things. Out: tau-b, which corrects for ties (Kendall, Biometrika 1945),
and the share of all orders of these scores that agree as well; None where nothing can be said.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

FEWEST = 3
"""Two things are in the same order half of the time."""
BEYOND_CHANCE = 0.05
_ALL_ORDERS_OF = 7  # 5,040 of them
_DRAWS = 3999
_CELLS = 1 << 24  # that are compared at a time


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the order by a local score agrees with the server's, over the `n` that have both.

    `tau` is Kendall's tau-b: 1 for the same order, -1 for the reverse; None for fewer than
    `FEWEST`, or where all are equal. `chance` is the share of random orders that agree as well.
    The local scores are by one `truth`, and the archives of one `layout`.
    """

    measure: str
    n: int
    tau: float | None
    chance: float | None = None
    truth: str = ""
    layout: str = ""

    @property
    def beyond_chance(self) -> bool:
        """Whether a random order rarely agrees as well."""
        return self.chance is not None and self.chance <= BEYOND_CHANCE


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b of two scores of the same things.

    None for fewer than `FEWEST` or where one of them is the same throughout.
    """
    if len(one) < FEWEST:
        return None
    first, second = _order(one), _order(other)
    untied = math.sqrt(np.count_nonzero(first) * np.count_nonzero(second))
    return float((first * second).sum() / untied) if untied else None


def chance(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The share of all orders of `other` that agree with `one` as well as its own, or better.

    Exact for few; of more, orders are drawn with a seed. None where `kendall` is.
    """
    if kendall(one, other) is None:
        return None
    first, second = _order(one), _order(other)
    own, exact = (first * second).sum(), len(one) <= _ALL_ORDERS_OF
    # Of orders that are drawn, the own one counts too: it might have been (Phipson, Smyth, 2010).
    every, as_well = (0, 0) if exact else (1, 1)
    for orders in _orders(len(one), exact):
        found = (first * second[orders[:, :, None], orders[:, None, :]]).sum(axis=(1, 2))
        every, as_well = every + len(found), as_well + int((found >= own).sum())
    return as_well / every


def _orders(count: int, exact: bool) -> Iterator[NDArray[np.int64]]:
    """Orders of so many things, [K, count] at a time."""
    if exact:
        yield np.array([*permutations(range(count))])
        return
    random, size = np.random.default_rng(0), max(1, _CELLS // count**2)
    for start in range(0, _DRAWS, size):
        rows = np.tile(np.arange(count), (min(size, _DRAWS - start), 1))
        yield random.permuted(rows, axis=1)


def _order(scores: Sequence[float]) -> NDArray[np.int64]:
    """For each thing and each other -1, 0 or 1."""
    values = np.asarray(scores, np.float64)
    # Compared, not subtracted: neighbouring numbers must not vanish in a difference.
    order: NDArray[np.int64] = np.greater.outer(values, values).astype(np.int64)
    return order - np.less.outer(values, values)
