"""What is drawn stays a tensor until it is levels, and they are what numpy makes of the images."""

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.models.flips import FLIPS, average_views
from kit.models.infer import infer_batches, infer_tiles, to_levels
from kit.scaling import UINT16_MAX, quantize


def network(signed: Tensor) -> Tensor:
    return torch.cat([signed, signed[:, :1].roll(1, 3)], dim=1) * 1.2


@pytest.mark.parametrize("flips", FLIPS)
def test_levels_are_those_of_numpy_to_the_last_bit(flips: int) -> None:
    inputs = np.random.default_rng(0).random((5, 2, 16, 16), dtype=np.float32)
    expected = quantize(
        average_views(lambda tiles: infer_batches(network, tiles, 4), inputs, flips)
    )
    found = average_views(
        lambda tiles: infer_tiles(network, tiles, 4), torch.from_numpy(inputs), flips
    )
    levels = to_levels(found)
    assert levels is not None and levels.dtype == np.uint16
    np.testing.assert_array_equal(levels, expected)


def test_halves_between_levels_are_rounded_as_numpy_rounds_them() -> None:
    halves = (np.arange(2 * UINT16_MAX, dtype=np.float64) / 2 / UINT16_MAX).astype(np.float32)
    found = to_levels(torch.from_numpy(halves))
    np.testing.assert_array_equal(found, quantize(halves))


def test_one_nan_among_many_pixels_is_found() -> None:
    images = torch.rand(2, 3, 16, 16)
    assert to_levels(images) is not None
    images[1, 2, 3, 4] = torch.nan
    assert to_levels(images) is None
