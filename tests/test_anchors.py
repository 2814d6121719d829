"""Anchors: which pixels are moved, and what the server then makes of a smooth picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from kit.anchors import anchor
from kit.metrics import mse
from kit.scaling import stretch
from kit.tiles.bands import read_bands
from kit.tiles.names import SceneKey, TileName
from tests.helpers.tiles import SHARED

SAMPLE = SHARED / "multiearth-sample" / "sent2"
CLEAR = (
    "-55.20_-4.39_2019_07_01", "-55.20_-4.39_2019_07_26", "-55.20_-4.39_2020_07_20",
    "-55.06_-4.09_2021_05_06", "-54.68_-4.17_2021_05_06",
)  # fmt: skip
BRIGHT = ("-54.92_-4.25_2020_07_05", "-54.94_-4.27_2020_07_05")


@settings(max_examples=60)
@given(
    arrays(np.uint16, st.tuples(st.just(3), st.integers(1, 4), st.integers(2, 4)),
           elements=st.sampled_from([0, 1, 7, 40000, 65534, 65535]))
)  # fmt: skip
def test_two_pixels_a_channel_are_pinned_the_ones_that_move_least(image: NDArray) -> None:
    before = image.copy()
    found = anchor(image)
    np.testing.assert_array_equal(image, before)
    for was, now in zip(image.reshape(3, -1), found.reshape(3, -1), strict=True):
        assert (now.min(), now.max()) == (0, 65535)
        (moved,) = np.nonzero(was != now)
        assert len(moved) <= 2
        cost = np.abs(was.astype(int) - now).sum()
        assert cost == int(was.min()) + 65535 - int(was.max())
    np.testing.assert_array_equal(anchor(found), found)


def test_of_equal_pixels_the_first_is_moved_and_in_one_colour_the_first_and_the_last() -> None:
    image = np.array([[[9, 5, 5], [9, 6, 6]], [[4, 4, 4]] * 2, [[0, 65535, 1], [2, 3, 4]]])
    expected = [[[65535, 0, 5], [9, 6, 6]], [[0, 4, 4], [4, 4, 65535]], image[2]]
    np.testing.assert_array_equal(anchor(image.astype(np.uint16)), np.array(expected))


def test_bands_that_came_last_and_an_image_of_one_pixel() -> None:
    image = np.random.default_rng(0).integers(1, 100, (4, 5, 3), dtype=np.uint16)
    turned = image.transpose(2, 0, 1)
    np.testing.assert_array_equal(anchor(turned), anchor(np.ascontiguousarray(turned)))
    one = np.full((3, 1, 1), 7, np.uint16)
    np.testing.assert_array_equal(anchor(one), one)


@pytest.mark.parametrize("scene", CLEAR + BRIGHT)
@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the official sample tiles in ../shared")
def test_what_the_server_makes_of_a_blurred_truth(scene: str) -> None:
    """The numbers that the docstring of kit.anchors tells."""
    key = SceneKey.parse(scene)
    paths = [SAMPLE / str(TileName("Sentinel2", band, key)) for band in ("B4", "B3", "B2")]
    dn = read_bands("Sentinel2", paths)
    truth = stretch(dn)

    def errors(space: NDArray) -> tuple[float, float, float]:
        blurred = np.stack([uniform_filter(channel, 16) for channel in space])
        image = np.rint(blurred * 65535).astype(np.uint16)
        sent = (image / 65535, stretch(image), stretch(anchor(image)))
        plain, kept, anchored = (mse(pixels, truth) for pixels in sent)
        return plain, kept, anchored

    plain, kept, anchored = errors(truth)
    assert 0.0006 < plain < 0.002
    assert anchored == pytest.approx(plain, abs=5e-5)
    assert anchored < kept
    plain, reflectance_kept, reflectance_anchored = errors(np.clip(dn / 3000, 0, 1))
    assert reflectance_anchored == pytest.approx(plain, abs=5e-5)
    if scene in CLEAR:
        assert 0.018 < kept < 0.054
        assert 0.018 < reflectance_kept < 0.054 and 0.0009 < reflectance_anchored < 0.0075
    else:
        assert 0.0015 < kept < 0.002
        assert reflectance_kept < 0.0066 and 0.007 < reflectance_anchored < 0.01
