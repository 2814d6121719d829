"""Weights that are not negative and add up to 1, by least squares or least absolute deviations."""

import numpy as np
from numpy.typing import NDArray

from kit.fitting.observations import Floats

_STEPS = 200
_ROUNDS = 60
_SMALL = 1e-5  # of errors in [0, 1]: below it an absolute error is as good as none
_NEAR = 1e-12


def least_squares(gram: Floats, products: Floats) -> Floats:
    """The weights w on the simplex that minimise w'Gw - 2p'w.

    An active set method: exact up to rounding, for any number of members that are averaged.

    Args:
        gram: G [M, M], positive semidefinite.
        products: p [M].
    """
    count = len(products)
    weights = np.full(count, 1 / count)
    active = np.ones(count, bool)
    for _ in range(_STEPS):
        best = _on_support(gram, products, active)
        if best[active].min() >= -_NEAR:
            weights = best.clip(0)
            gradient = gram @ weights - products
            slack = gradient - gradient[active].max()
            slack[active] = 0
            entering = int(slack.argmin())
            if slack[entering] >= -_NEAR * (1 + np.abs(products).max()):
                break
            active[entering] = True
            continue
        # As far as it goes until a weight is zero, which then leaves.
        falling = active & (best < -_NEAR)
        step = (weights[falling] / (weights[falling] - best[falling])).min()
        weights = (weights + step * (best - weights)).clip(0)
        leaving = falling & (weights <= _NEAR)
        active &= ~leaving
        weights[~active] = 0
    total: Floats = weights / weights.sum()
    return total


def least_absolute(members: Floats, truth: Floats) -> Floats:
    """The weights w on the simplex that minimise the mean of |w'members - truth|.

    Least squares, weighted again by the reciprocal of each error until nothing changes.

    Args:
        members: [M, N].
        truth: [N].
    """
    count = len(members)
    weights = best = np.full(count, 1 / count)
    lowest = np.inf
    for _ in range(_ROUNDS):
        errors = np.abs(weights @ members - truth)
        mean = errors.mean()
        if mean < lowest:
            best = weights
        if mean > lowest - 1e-9:
            break
        lowest = mean
        scaled = members / np.maximum(errors, _SMALL)
        weights = least_squares(scaled @ members.T / truth.size, scaled @ truth / truth.size)
    return best


def _on_support(gram: Floats, products: Floats, active: NDArray[np.bool_]) -> Floats:
    """The minimum where only active weights differ from zero, and all add up to 1."""
    chosen = np.flatnonzero(active)
    count = len(chosen)
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = gram[np.ix_(chosen, chosen)]
    system[count, count] = 0
    # Members that are alike leave it open how their weight is shared: lstsq shares it evenly.
    solution = np.linalg.lstsq(system, np.append(products[chosen], 1.0), rcond=1e-12)[0]
    weights = np.zeros(len(products))
    weights[chosen] = solution[:count]
    return weights
