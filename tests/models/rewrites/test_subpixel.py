import pytest
import torch
from torch import nn

from kit.models.rewrites import fuse
from kit.models.rewrites.subpixel import SubPixel, sub_pixel
from tests.helpers.generators import trained_like

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 3), (16, 16)])
def test_equals_the_transposed_convolution(size, bias: bool) -> None:
    doubling = nn.ConvTranspose2d(5, 3, 3, 2, 1, output_padding=1, bias=bias).double()
    features = torch.randn(2, 5, *size, dtype=torch.float64)
    expected, found = doubling(features), SubPixel(doubling)(features)
    assert found.shape == expected.shape == (2, 3, 2 * size[0], 2 * size[1])
    assert (found - expected).abs().max() <= 1e-12


def test_taps_that_are_not_there_are_exactly_zero() -> None:
    weight = SubPixel(nn.ConvTranspose2d(5, 3, 3, 2, 1, output_padding=1)).convolution.weight
    assert (weight != 0).sum() == 5 * 3 * 9


def test_a_whole_generator_draws_the_same_without_transposed_convolutions() -> None:
    network = fuse._rewrite(trained_like("pix2pixhd")).double()
    sar = torch.rand(1, 2, 48, 64, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = network(sar)
        assert (sub_pixel(network)(sar) - expected).abs().max() <= 1e-12
    kinds = [type(module) for module in network.modules()]
    assert nn.ConvTranspose2d not in kinds and kinds.count(SubPixel) == 4
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("other", [{"padding": 0}, {"output_padding": 0}, {"groups": 2}])
def test_other_transposed_convolutions_are_not_taken_for_it(other) -> None:
    settings = {"stride": 2, "padding": 1, "output_padding": 1} | other
    with pytest.raises(AssertionError):
        sub_pixel(nn.Sequential(nn.ConvTranspose2d(4, 4, 3, **settings)))
