"""The average over views is that of a plain twin, whatever the network and the size of a tile."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.errors import InputError
from kit.models.flips import FLIPS, average_views, check_flips

Array = NDArray[np.float32]
INPUTS = np.random.default_rng(0).random((2, 5, 8, 12), np.float32)


def equivariant(inputs: Array) -> Array:
    """Each pixel by itself, and its neighbours on all sides alike."""
    around = sum(np.roll(inputs, shift, axis) for shift in (1, -1) for axis in (2, 3))
    found: Array = (inputs * np.float32(0.5) + around * np.float32(0.125))[:, :3]
    return found


def skewed(inputs: Array) -> Array:
    """Depends on where a pixel lies, and on its neighbour on one side."""
    ramp = np.linspace(0, 1, inputs.shape[3], dtype=np.float32)
    found: Array = inputs[:, :3] * ramp + np.roll(inputs[:, 1:4], 1, 2) / 3
    return found


def plainly(inputs: Array, flips: int) -> Array:
    """Mirrors and a transposition, one after the other."""
    images = []
    for transposed in (False, True)[: 1 + (flips == 8)]:
        for rows in (False, True):
            for columns in (False, True):
                seen = inputs.swapaxes(2, 3) if transposed else inputs
                seen = seen[:, :, ::-1] if rows else seen
                seen = seen[..., ::-1] if columns else seen
                image = skewed(np.ascontiguousarray(seen))
                image = image[..., ::-1] if columns else image
                image = image[:, :, ::-1] if rows else image
                images.append(image.swapaxes(2, 3) if transposed else image)
    found: Array = np.mean(images, axis=0, dtype=np.float64)
    return found


@pytest.mark.parametrize("flips", FLIPS)
def test_a_network_that_turns_with_its_input_gives_the_same_image(flips: int) -> None:
    found = average_views(equivariant, INPUTS, flips)
    assert (found.dtype, found.shape) == (np.float32, (2, 3, 8, 12))
    assert found.flags.c_contiguous or flips == 1
    np.testing.assert_allclose(found, equivariant(INPUTS), rtol=1e-6)


@pytest.mark.parametrize("flips", [4, 8])
def test_another_network_gives_the_mean_of_all_views(flips: int) -> None:
    found = average_views(skewed, INPUTS, flips)
    np.testing.assert_allclose(found, plainly(INPUTS, flips), rtol=1e-5)
    assert np.abs(found - skewed(INPUTS)).max() > 0.1
    square = INPUTS[..., :8]
    np.testing.assert_allclose(
        average_views(skewed, square, flips), plainly(square, flips), rtol=1e-5
    )


def test_one_view_is_the_image_itself() -> None:
    np.testing.assert_array_equal(average_views(skewed, INPUTS, 1), skewed(INPUTS))


@pytest.mark.parametrize("flips", [0, 2, 3, 16, -1])
def test_another_number_of_views_is_refused(flips: int) -> None:
    with pytest.raises(InputError, match=rf"--flips {flips}: no such .*\n  give 1, 4 or 8"):
        check_flips(flips)
