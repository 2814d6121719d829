"""What is drawn is levels that numpy would make of the images, to the last bit."""

import numpy as np
import pytest
import torch

from kit.models.levels import levels_on_processor, to_levels
from kit.scaling import UINT16_MAX, from_signed, quantize
from tests.helpers.core import NATIVE

# Without the core the reference would be compared with itself.
BACKENDS = [NATIVE, "reference"]
# Both signs of all magnitudes, what is beyond the range, and halves between levels.
STEPS = np.arange(2 * UINT16_MAX + 1, dtype=np.float64) / 2 / UINT16_MAX
RANDOM = np.random.default_rng(0).normal(0, 0.7, 99_991)
EDGES = [0, -0.0, 1, -1, 2, -3, np.inf, -np.inf, 1e-45, np.nextafter(np.float32(1), 0)]
VALUES = np.concatenate([STEPS, STEPS * 2 - 1, RANDOM, EDGES]).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_levels_are_those_of_numpy_to_the_last_bit(backend: str) -> None:
    signed = VALUES.reshape(1, 1, -1)
    found = levels_on_processor(signed, signed=True, backend=backend)
    np.testing.assert_array_equal(found, quantize(from_signed(signed)))
    unit = from_signed(signed)
    expected = quantize(unit)
    np.testing.assert_array_equal(
        levels_on_processor(unit, signed=False, backend=backend), expected
    )
    levels, finite = to_levels(torch.from_numpy(unit))
    assert finite and levels.dtype == torch.uint16
    np.testing.assert_array_equal(levels.numpy(), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("signed", [True, False])
def test_images_that_do_not_lie_packed(backend: str, signed: bool) -> None:
    images = np.random.default_rng(0).random((2, 3, 5, 7), dtype=np.float32)
    expected = quantize(from_signed(images) if signed else images)
    for order in ((0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)):
        back = np.argsort(order)
        turned = np.ascontiguousarray(images.transpose(order)).transpose(back)
        found = levels_on_processor(turned, signed=signed, backend=backend)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("signed", [True, False])
def test_one_nan_among_many_pixels_is_found(backend: str, signed: bool) -> None:
    images = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    assert levels_on_processor(images, signed=signed, backend=backend) is not None
    images[1, 2, 3, 4] = np.nan
    assert levels_on_processor(images, signed=signed, backend=backend) is None
    assert not to_levels(torch.from_numpy(images))[1]
