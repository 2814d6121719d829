"""The ways to make one image of several members', from the least free to the freest.

In: observations, and the scenes to fit on. Out: a combination in exact integers. A method that is
freer than another fits more closely what it has seen; which pays is for `kit.fitting.selection` to
say, on scenes that it has not.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from kit.averaging import Averaging, reduced
from kit.fitting.objectives import objective
from kit.fitting.observations import Floats, Moments, Observations
from kit.fitting.shrinkage import fit_line
from kit.intervals import interval
from kit.metrics import is_official_measure
from kit.prediction.affine import ONE, Affine
from kit.prediction.combination import Combination
from kit.scaling import UINT16_MAX

PICKS = 30
SUBSETS = 512
PARTS = 50
"""Weights are whole multiples of one of so many parts: near their best they hardly matter, and a
member of less than half a part is not worth predicting."""
_STEEPEST = 200.0

_FEW_PLACES = 10
"""With fewer, which member loses to one colour is mostly chance."""
_HOPELESS = 2.0
"""Members err in part independently, so that in a mean even one that loses to one colour may help;
one that costs so many times as much as it does not."""

PLAIN, MEDIAN, COLOR, SINGLE = "plain mean", "median", "one colour", "best single"
ANCHORED = f"{PLAIN}, anchors"


@dataclass(frozen=True, slots=True)
class Method:
    """One way: its name, and what it fits by a measure on some scenes.

    `needs` is the least number of members that it makes a difference for. What has an `affine` is
    an average that is still to be brought to the server's space, by `with_affine`.
    """

    name: str
    fit: Callable[[str, Observations, Sequence[int]], Combination]
    needs: int = 1
    affine: bool = False


def methods(measure: str, members: int) -> tuple[Method, ...]:
    """The methods for a measure and a number of members, the least free first.

    The first two are one colour and the plain mean.
    """
    stretched = is_official_measure(measure)
    weighted = "least absolute deviations" if measure == "mae" else "least squares"
    chosen = [
        Method(MEDIAN, _median, 3),
        Method("mean of the best subset", _subset, 2),
        Method(SINGLE, _single, 2),
        Method("greedy, with replacement", _greedy, 2),
        Method(weighted, _simplex, 2),
    ]
    if stretched:
        chosen = [
            Method(ANCHORED, _plain_anchored),
            Method(f"{PLAIN}, affine, anchors", _plain, affine=True),
            *(Method(f"{m.name}, affine, anchors", m.fit, m.needs, affine=True) for m in chosen),
        ]
    color = Method(f"{COLOR}, anchors" if stretched else COLOR, _color)
    every = (color, Method(PLAIN, _plain), *chosen)
    return tuple(method for method in every if method.needs <= members)


def _color(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    red, green, blue = (
        (0, 0, round(level * UINT16_MAX)) for level in objective(measure, observed, rows).color()
    )
    stretched = is_official_measure(measure)
    return Combination("mean", Affine((red, green, blue)), "anchors" if stretched else "keep")


def _plain(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    """The mean of the members that do not lose to one colour beyond noise; of all where all do.

    Where scenes do not tell, or places are too few to tell noise, of all that are not hopeless.
    """
    costs, places = objective(measure, observed, rows), [observed.places[row] for row in rows]
    few = len(set(places)) < _FEW_PLACES

    def loses(member: int) -> bool:
        excess = None if few else costs.excess(member)
        if excess is None:
            return costs.to_color(member) > _HOPELESS
        return interval(excess, places)[0] > 0

    kept = [member for member in range(observed.members) if not loses(member)]
    return Combination(_equal(kept or range(observed.members), observed.members))


def _plain_anchored(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    return Combination(_plain(measure, observed, rows).averaging, stretch="anchors")


def _median(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    return Combination("median")


def _single(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    costs, every = objective(measure, observed, rows), np.eye(observed.sources)
    best = min(range(observed.members), key=lambda member: costs.loss(every[member]))
    return Combination(_equal([best], observed.members))


def _subset(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    costs = objective(measure, observed, rows)
    found = islice(_subsets(observed.members), SUBSETS)
    best = min(found, key=lambda members: costs.loss(_equal_floats(members, observed)))
    return Combination(_equal(best, observed.members))


def _subsets(members: int) -> Iterator[tuple[int, ...]]:
    """All subsets: first that of all members, then by size."""
    yield tuple(range(members))
    for size in range(1, members):
        yield from combinations(range(members), size)


def _greedy(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    """The member that helps most is picked again and again; Caruana et al., ICML 2004."""
    costs = objective(measure, observed, rows)
    counts = np.zeros(observed.sources)
    best, lowest = counts, math.inf
    for _ in range(PICKS):
        options = [_with(counts, member) for member in range(observed.members)]
        losses = [costs.loss(option / option.sum()) for option in options]
        counts = options[int(np.argmin(losses))]
        if min(losses) < lowest - 1e-12:
            best, lowest = counts, min(losses)
    return Combination(reduced(best[: observed.members].astype(int).tolist()))


def _simplex(measure: str, observed: Observations, rows: Sequence[int]) -> Combination:
    weights = objective(measure, observed, rows).simplex()
    return Combination(reduced(np.rint(weights * PARTS).astype(int).tolist()))


def with_affine(
    averaging: Averaging, moments: Moments, observed: Observations, rows: Sequence[int]
) -> Combination:
    """An average that is brought to the server's space, by an affine that is fitted on `rows`."""
    chosen = [*rows]
    line = fit_line(
        moments.mean[chosen],
        moments.variance[chosen],
        moments.covariance[chosen],
        observed.means[chosen][..., -1],
        observed.covariances[chosen][..., -1, -1],
        [observed.places[row] for row in chosen],
    )
    return Combination(averaging, _to_integers(line.channels), "anchors")


def _to_integers(channels: Sequence[tuple[float, float, float]]) -> Affine:
    def slope(number: float) -> int:
        return round(max(-_STEEPEST, min(_STEEPEST, number)) * ONE)

    red, green, blue = (
        (slope(within), slope(between), round(max(-2.0, min(2.0, offset)) * UINT16_MAX))
        for within, between, offset in channels
    )
    return Affine((red, green, blue))


def _equal(members: Sequence[int], count: int) -> Averaging:
    return reduced([int(member in members) for member in range(count)])


def _equal_floats(members: Sequence[int], observed: Observations) -> Floats:
    weights = np.zeros(observed.sources)
    weights[[*members]] = 1 / len(members)
    return weights


def _with(counts: Floats, member: int) -> Floats:
    more = counts.copy()
    more[member] += 1
    return more
