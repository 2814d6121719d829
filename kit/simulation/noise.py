"""Random numbers that depend on where they are asked for alone, and smooth noise made of them.

In: a seed, a name, and integers or pixels. Out: numbers that are the same wherever and in whatever
order they are computed. Refused: nothing.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Integers = NDArray[np.int64]
Positions = Integers | Field


def noise(seed: int, rows: Positions, columns: Positions, name: str, pitch: float) -> Field:
    """Smooth noise [H, W] of mean 0 and variance 1: random lattice values, joined by B-splines.

    Args:
        seed: the world's.
        rows: rising global rows [H].
        columns: rising global columns [W].
        name: noises of different names, or pitches, are independent.
        pitch: pixels between the points of the lattice.
    """
    i, down = _spline(rows, pitch)
    j, right = _spline(columns, pitch)
    values = uniform(seed, f"{name} {pitch}", i[:, None], j) - 0.5
    # A uniform variable has variance 1/12; a spline's squared weights sum to 0.479 on average.
    result: Field = down @ values @ right.T * (np.sqrt(12) / 0.479)
    return result


def uniform(seed: int, name: str, *ids: NDArray[np.generic]) -> Field:
    """A number in [0, 1) for each combination of integers, the same wherever it is computed."""
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    state = np.array(int.from_bytes(digest, "little"), dtype=np.uint64)
    for part in ids:
        state = _mix(state ^ part.astype(np.int64).astype(np.uint64))
    number: Field = (_mix(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return number


def _spline(positions: Positions, pitch: float) -> tuple[Integers, Field]:
    """The lattice points that reach `positions`, and their cubic B-spline weights [N, points]."""
    at = positions / pitch
    points = np.arange(np.floor(at[0]) - 1, np.floor(at[-1]) + 3)
    near = np.abs(at[:, None] - points)
    weights: Field = np.maximum(2 - near, 0) ** 3 / 6 - np.maximum(1 - near, 0) ** 3 * (4 / 6)
    return points.astype(np.int64), weights


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits with the finalizer of splitmix64, whose products are meant to overflow."""
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
