from fractions import Fraction
from math import floor

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.anchors import anchor
from kit.averaging import average
from kit.prediction.affine import ONE, Affine, parse_affine, stretch_channel
from kit.prediction.combination import Combination
from kit.scaling import stretch
from tests.helpers.archives import image

STRAIGHT = Affine(((ONE, ONE, 0),) * 3)  # type: ignore[arg-type]
COLOR = Affine(((0, 0, 100), (0, 0, 200), (0, 0, 300)))
SHRUNK = Affine(((20_000, 30_000, 9_000), (-5_000, 0, 65_535), (ONE, 90_000, -70_000)))


def by_fractions(channel: NDArray[np.uint16], line: tuple[int, int, int]) -> list[int]:
    """The rule, in exact numbers and one pixel at a time."""
    low, high = int(channel.min()), int(channel.max())
    stretched = [
        _half_up(Fraction((int(x) - low) * 65535, max(high - low, 1))) for x in channel.flat
    ]
    mean = _half_up(Fraction(sum(stretched), len(stretched)))
    within, between, offset = line
    return [
        min(max(_half_up(Fraction(within * (x - mean) + between * mean, ONE) + offset), 0), 65535)
        for x in stretched
    ]


def _half_up(number: Fraction) -> int:
    return floor(number + Fraction(1, 2))


@pytest.mark.parametrize("affine", [STRAIGHT, COLOR, SHRUNK])
def test_an_affine_is_exact(affine: Affine) -> None:
    given = image(1, size=9)
    given[1] //= 7  # of a small range
    given[2] = 500  # of one value
    found = affine.apply(given)
    assert found.dtype == np.uint16
    for channel, line, made in zip(given, affine.channels, found, strict=True):
        assert made.ravel().tolist() == by_fractions(channel, line)


def test_a_straight_affine_is_the_stretch_of_the_server() -> None:
    given = image(2, size=16) // 3
    np.testing.assert_allclose(STRAIGHT.apply(given) / 65535, stretch(given), atol=1 / 65535)
    for channel in given:
        made = stretch_channel(channel)
        assert (made.min(), made.max()) == (0, 65535)


def test_an_affine_is_read_as_it_was_written() -> None:
    assert parse_affine(SHRUNK.as_json()) == SHRUNK and parse_affine(None) is None


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2, 3]] * 2,
        [[1, 2]] * 3,
        [[1, 2, 3.0]] * 3,
        [[1, 2, 1 << 25]] * 3,
        "abc",
        7,
        [[True] * 3] * 3,
    ],
)
def test_what_is_no_affine_is_refused(values: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        parse_affine(values)


def test_a_combination_averages_then_brings_to_the_space_then_anchors() -> None:
    one, two = image(3, size=8), image(4, size=8)
    found = Combination((2, 1), SHRUNK, "anchors").apply([one, two])
    np.testing.assert_array_equal(found, anchor(SHRUNK.apply(average([one, two], (2, 1)))))
    assert Combination((2, 1), SHRUNK).text == "2,1; affine"


def test_one_colour_that_was_fitted_gets_anchors_and_a_dead_network_none() -> None:
    """The check of an archive refuses an image of one value, which no network predicts."""
    fitted = Combination("mean", COLOR, "anchors")
    assert len(np.unique(fitted.apply([image(5, size=8)])[0])) == 3
    dead = np.full((3, 8, 8), 7, np.uint16)
    assert len(np.unique(fitted.apply([dead])[0])) == 1
