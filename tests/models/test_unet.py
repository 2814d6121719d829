import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.errors import InputError
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.registry import build_generator
from kit.models.unet import UNet
from kit.variants.registry import variant
from tests.helpers.generators import trained_like

pytestmark = pytest.mark.numerical


def by_hand(weights: dict[str, Tensor], planes: Tensor) -> Tensor:
    """The network in evaluation mode, from its weights alone."""

    def twice(name: str, x: Tensor) -> Tensor:
        for conv, norm in ((0, 1), (3, 4)):
            x = F.conv2d(x, weights[f"{name}.{conv}.weight"], padding=1)
            mean, variance, gain, bias = (
                weights[f"{name}.{norm}.{each}"][:, None, None]
                for each in ("running_mean", "running_var", "weight", "bias")
            )
            x = ((x - mean) / (variance + 1e-5).sqrt() * gain + bias).clamp(min=0)
        return x

    def doubled(name: str, x: Tensor) -> Tensor:
        wide, bias = weights[f"{name}.0.weight"][..., 0, 0], weights[f"{name}.0.bias"]
        kernel = wide.T.reshape(len(wide.T), -1, 2, 2)
        image = F.conv_transpose2d(x, kernel, stride=2)
        height, width = x.shape[-2:]
        return image + bias.reshape(-1, 2, 2).repeat(1, height, width)

    full = twice("encoders.0", planes)
    half = twice("encoders.1", F.max_pool2d(full, 2))
    quarter = twice("encoders.2", F.max_pool2d(half, 2))
    x = twice("encoders.3", F.max_pool2d(quarter, 2))
    for level, kept in enumerate((quarter, half, full)):
        x = twice(f"decoders.{level}", torch.cat([doubled(f"ups.{level}", x), kept], 1))
    return F.conv2d(x, weights["ending.weight"], weights["ending.bias"]).clamp(-1, 1)


def test_the_network_equals_its_description() -> None:
    generator = trained_like("unet", width=2).double()
    planes = torch.rand(2, 2, 32, 48, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = by_hand(generator.state_dict(), planes)
        drawn = generator(planes)
    assert expected.std() > 0.01 and expected.abs().max() < 1
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("width", "count"), [(16, 482_963), (32, 1_927_459)])
def test_its_size(width: int, count: int) -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in UNet(width).parameters()) == count


@pytest.mark.parametrize("size", [(120, 120), (100, 75), (16, 16), (1, 1)])
@pytest.mark.parametrize("norm", [torch.nn.BatchNorm2d, InstanceNorm])
def test_any_size_comes_back(size: tuple[int, int], norm: type[torch.nn.Module]) -> None:
    for training in (True, False):
        rgb = UNet(2, norm, boxes=(5,)).train(training)(torch.rand(1, 2, *size))
        assert rgb.shape == (1, 3, *size)
        assert rgb.isfinite().all() and rgb.abs().max() <= 1


def test_an_odd_size_is_drawn_as_a_part_of_its_reflection() -> None:
    generator = trained_like("unet", width=2)
    sar = torch.rand(1, 2, 100, 75)
    reflected = F.pad(sar, (0, 80 - 75, 0, 104 - 100), mode="reflect")
    with torch.no_grad():
        assert torch.equal(generator(sar), generator(reflected)[..., :100, :75])


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    generator = UNet(2, inputs=4)
    generator(torch.rand(2, 4, 32, 32)).square().mean().backward()
    idle = [name for name, w in generator.named_parameters() if w.grad is None or not w.grad.any()]
    assert idle == []


def test_gradients_are_those_of_finite_differences() -> None:
    generator = trained_like("unet", width=1).double()
    sar = (torch.rand(1, 2, 16, 16).double() * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(generator, (sar,), fast_mode=True)


def test_a_linear_output_is_cut_off_in_prediction_alone() -> None:
    generator = UNet(2, output="linear")
    nn.init.constant_(generator.ending.bias, 100.0)
    sar = torch.rand(2, 2, 16, 16)
    assert generator.train()(sar).min() > 1
    assert torch.equal(generator.eval()(sar), torch.ones(2, 3, 16, 16))
    assert UNet(2)(sar).abs().max() < 1


def test_other_networks_have_a_tanh() -> None:
    with pytest.raises(InputError, match="output is 'linear'\n  it must be tanh for pix2pixhd"):
        build_generator(variant("p2phd2", output="linear"))
