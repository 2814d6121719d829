"""What lies between the ground and the satellites: clouds and their shadows, haze, and speckle.

In: a generator of random numbers, the ground. Out: the ground as it is seen through some weather,
with the marks of QA60; factors of speckle. Refused: nothing.
"""

import numpy as np
from numpy.typing import NDArray

from kit.simulation.noise import Field, noise

Marks = NDArray[np.int64]

_HEAPS = (64, 32, 16, 8, 4, 2)  # pixels: the sizes of a cumulus and of its lumps
_SHADOW = 32  # pixels that a shadow falls to the south and to the west, at most
_LOOKS = 5  # of the speckle
_OPAQUE, _CIRRUS = 1 << 10, 1 << 11  # of QA60

_WHITE, _HAZE, _ICE = (  # DN of B4, B3, B2 where nothing is seen through
    np.array(color, float)[:, None, None]
    for color in ((7200, 7350, 7500), (1100, 1300, 1750), (3600, 3700, 3900))
)


def speckle(random: np.random.Generator, size: int) -> Field:
    """Factors [2, size, size] of mean 1: gamma of `_LOOKS` looks, alike in neighbouring pixels."""
    white = random.standard_normal((2, size + 3, size + 3))
    # Thrice the sum of two neighbours is the binomial 1 3 3 1: correlations of 0.75, 0.3, 0.05.
    for _ in range(3):
        white = white[:, 1:] + white[:, :-1]
        white = white[:, :, 1:] + white[:, :, :-1]
    # Wilson and Hilferty: the cube root of a gamma variable is very nearly normal.
    ninth = 1 / (9 * _LOOKS)
    factors: Field = np.maximum(1 - ninth + np.sqrt(ninth) * white / 20, 0.05) ** 3
    return factors


def cumulus(random: np.random.Generator, dn: Field) -> tuple[Field, Marks]:
    """White heaps with fractal edges, and their shadows; QA60 knows the hearts of large ones."""
    size = dn.shape[1]
    key = int(random.integers(2**63))
    # The sun stands in the north-east, so shadows come from clouds beyond the top and the right.
    rows, columns = np.arange(-_SHADOW, size), np.arange(size + _SHADOW)
    layers = [pitch**0.7 * noise(key, rows, columns, "cumulus", pitch) for pitch in _HEAPS]
    heaps = np.sum(layers, axis=0)
    above = heaps[_SHADOW:, :size]
    edge = np.quantile(above, 1 - random.uniform(0.02, 0.5))
    depth = (heaps - edge) / (above.max() - edge)  # 1 at the top
    opacity = np.clip(3 * depth, 0, 1)
    down, left = random.integers(_SHADOW // 4, _SHADOW, 2)
    shadow = opacity[_SHADOW - down : _SHADOW - down + size, left : left + size]
    depth, opacity = depth[_SHADOW:, :size], opacity[_SHADOW:, :size]
    white = _WHITE * (0.4 + 0.6 * np.sqrt(depth.clip(0, 1)))
    return _blend(dn * (1 - 0.7 * shadow), white, opacity), _OPAQUE * (depth > 0.35)


def haze(random: np.random.Generator, dn: Field) -> tuple[Field, Marks]:
    """A bluish veil, thicker here and thinner there; QA60 knows nothing of it."""
    pixels = np.arange(dn.shape[1])
    uneven = noise(int(random.integers(2**63)), pixels, pixels, "haze", 110)
    veil = random.uniform(0.04, 0.16) * (1 + 0.25 * uneven).clip(0.2, 2)
    return _blend(dn, _HAZE, veil), np.zeros(veil.shape, int)


def cirrus(random: np.random.Generator, dn: Field) -> tuple[Field, Marks]:
    """Thin streaks at a slant; QA60 knows the thicker parts."""
    size = dn.shape[1]
    key, slope = int(random.integers(2**63)), random.uniform(-0.9, 0.9)
    y, x = np.indices((size, size))
    # Noise that is stretched along the rows, and then sheared.
    rows, columns = np.arange(-size, 2 * size), np.arange(size) / 7
    smooth = noise(key, rows, columns, "broad", 20) + 0.4 * noise(key, rows, columns, "fine", 6)
    streaks = smooth[(y + slope * x).astype(int) + size, x]
    veil = random.uniform(0.15, 0.4) * (0.5 + 0.5 * streaks).clip(0, 1.8)
    return _blend(dn, _ICE, veil), _CIRRUS * (veil > 0.2)


def _blend(ground: Field, cloud: Field, opacity: Field) -> Field:
    return ground + opacity * (cloud - ground)
