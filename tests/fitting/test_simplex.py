"""Beside scipy's own solvers."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize

from kit.fitting.simplex import least_absolute, least_squares

Floats = NDArray[np.float64]


def problem(members: int, seed: int, size: int = 300) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    truth = random.normal(size=size)
    noise = random.normal(size=(members, size)) * random.uniform(0.2, 2, (members, 1))
    return truth + noise + random.normal(size=(members, 1)) / 3, truth


@pytest.mark.parametrize(
    ("members", "alike"),
    [(1, False), (2, False), *itertools.product((3, 7, 12), (False, True))],
)
def test_least_squares_is_that_of_scipy(members: int, alike: bool) -> None:
    given, truth = problem(members, members)
    if alike:
        given[1] = given[0]

    def loss(weights: Floats) -> float:
        return float(np.square(weights @ given - truth).mean())

    weights = least_squares(given @ given.T, given @ truth)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    sum_is_one = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    start = np.full(members, 1 / members)
    theirs = minimize(loss, start, bounds=[(0, 1)] * members, constraints=sum_is_one, tol=1e-14)
    assert loss(weights) == pytest.approx(theirs.fun, rel=1e-9)


@pytest.mark.parametrize("members", [1, 2, 4, 8])
def test_least_absolute_deviations_are_those_of_a_linear_program(members: int) -> None:
    given, truth = problem(members, 10 + members)
    size = truth.size
    cost = np.r_[np.zeros(members), np.ones(2 * size)]
    above = np.block([given.T, np.eye(size), -np.eye(size)])
    total = np.r_[np.ones(members), np.zeros(2 * size)]
    exact = linprog(cost, A_eq=np.vstack([above, total]), b_eq=np.append(truth, 1))
    weights = least_absolute(given, truth)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    assert np.abs(weights @ given - truth).mean() == pytest.approx(exact.fun / size, rel=2e-5)


def test_the_member_that_is_the_truth_gets_all_weight() -> None:
    given, truth = problem(4, 0)
    given[2] = truth
    for weights in (least_squares(given @ given.T, given @ truth), least_absolute(given, truth)):
        np.testing.assert_allclose(weights, [0, 0, 1, 0], atol=1e-3)
