import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from kit.models.layers.means import BoxMeans, RadarResize


@pytest.mark.parametrize("size", [(64, 48), (31, 33)])
def test_a_box_mean_inside_is_that_of_scipy(size: tuple[int, int]) -> None:
    planes = torch.randn(2, 3, *size, dtype=torch.float64)
    added = BoxMeans([5, 15])(planes)
    assert added.shape == (2, 3 + 4, *size)
    assert torch.equal(added[:, :3], planes)
    for at, side in ((3, 5), (5, 15)):
        inside = (..., slice(side // 2, -(side // 2)), slice(side // 2, -(side // 2)))
        for channel in (0, 1):  # VV and VH alone
            found = added[:, at + channel].numpy()
            for image, mean in zip(planes[:, channel].numpy(), found, strict=True):
                expected = ndimage.uniform_filter(image, side)
                np.testing.assert_allclose(mean[inside], expected[inside], rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(1, 1), (4, 9), (20, 3)])
def test_at_a_border_a_box_mean_is_of_the_pixels_that_are_there(size: tuple[int, int]) -> None:
    planes = torch.randn(1, 2, *size, dtype=torch.float64)
    added = BoxMeans([7])(planes)[:, 2:]
    for row in range(size[0]):
        for column in range(size[1]):
            box = planes[..., max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
            expected = box.mean(dim=(2, 3))
            torch.testing.assert_close(added[..., row, column], expected, rtol=0, atol=1e-14)


def test_no_box_adds_nothing() -> None:
    planes = torch.randn(1, 2, 4, 4)
    assert BoxMeans([])(planes) is planes


def test_a_cell_is_its_first_pixel_or_its_mean() -> None:
    planes = torch.randn(2, 4, 64, 96, dtype=torch.float64)
    for step in (1, 2, 32):
        size = (64 // step, 96 // step)
        nearest = RadarResize("nearest")(planes, size)
        assert torch.equal(nearest, planes[..., ::step, ::step])
        assert torch.equal(nearest, F.interpolate(planes, size=size, mode="nearest"))
        cells = planes.unflatten(2, (size[0], step)).unflatten(4, (size[1], step))
        mean = RadarResize("mean")(planes, size)
        torch.testing.assert_close(mean, cells.mean(dim=(3, 5)), rtol=0, atol=1e-14)


def test_a_mean_takes_speckle_away_and_a_pixel_does_not() -> None:
    planes = 0.3 + torch.randn(1, 2, 64, 64)
    assert RadarResize("nearest")(planes, (2, 2)).std() > 0.5
    assert RadarResize("mean")(planes, (2, 2)).std() < 0.1
