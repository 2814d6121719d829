import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.pix2pixhd import GlobalGenerator

pytestmark = pytest.mark.numerical


def stirred(network: GlobalGenerator) -> GlobalGenerator:
    """The network in float64, with weights that no layer loses sight of."""
    torch.manual_seed(1)
    for weight in network.double().parameters():
        if weight.ndim == 4:
            nn.init.normal_(weight, 0, weight[0].numel() ** -0.5)
    return network


def by_hand(weights: dict[str, Tensor], sar: Tensor) -> Tensor:
    """The published generator with instance norm, from its published weights alone."""

    def reflected(name: str, x: Tensor, pad: int) -> Tensor:
        x = F.pad(x, (pad,) * 4, mode="reflect")
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def normalised(x: Tensor) -> Tensor:
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = normalised(reflected("model.1", sar, 3)).relu()
    for index in (4, 7, 10, 13):
        weight, bias = weights[f"model.{index}.weight"], weights[f"model.{index}.bias"]
        x = normalised(F.conv2d(x, weight, bias, stride=2, padding=1)).relu()
    for index in range(16, 25):
        y = normalised(reflected(f"model.{index}.conv_block.1", x, 1)).relu()
        x = x + normalised(reflected(f"model.{index}.conv_block.5", y, 1))
    for index in (25, 28, 31, 34):
        weight, bias = weights[f"model.{index}.weight"], weights[f"model.{index}.bias"]
        # torch's padding and output padding cut the first row and column of the full result.
        grown = F.conv_transpose2d(x, weight, bias, stride=2)[..., 1:, 1:]
        x = normalised(grown).relu()
    return torch.tanh(reflected("model.38", x, 3))


def test_the_network_equals_its_description() -> None:
    generator = stirred(GlobalGenerator(2))
    sar = torch.rand(2, 2, 64, 96, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = by_hand(generator.state_dict(), sar)
        drawn = generator(sar)
    assert expected.std() > 0.1 and expected.abs().max() < 1
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(512, 512), (120, 120), (100, 75), (16, 16), (1, 1)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    rgb = GlobalGenerator(1)(torch.rand(1, 2, *size))
    assert rgb.shape == (1, 3, *size)
    assert rgb.isfinite().all() and rgb.abs().max() <= 1


def test_an_odd_size_is_drawn_as_a_part_of_its_reflection() -> None:
    generator = GlobalGenerator(2)
    sar = torch.rand(1, 2, 100, 75)
    reflected = F.pad(sar, (0, 80 - 75, 0, 112 - 100), mode="reflect")
    with torch.no_grad():
        assert torch.equal(generator(sar), generator(reflected)[..., :100, :75])


def test_with_instance_norm_the_level_of_the_sar_is_lost() -> None:
    torch.manual_seed(0)
    sar = torch.rand(1, 2, 64, 64).double() * 2 - 1
    brighter = sar + torch.tensor([3.0, -5.0]).double()[:, None, None]
    with torch.no_grad():
        generator = stirred(GlobalGenerator(4))
        assert (generator(brighter) - generator(sar)).abs().max() < 1e-9
        generator = stirred(GlobalGenerator(4, nn.BatchNorm2d)).eval()
        assert (generator(brighter) - generator(sar)).abs().max() > 0.1


def test_every_weight_learns_but_biases_ahead_of_a_norm() -> None:
    torch.manual_seed(0)
    generator = GlobalGenerator(2).double()
    generator(torch.rand(2, 2, 64, 64).double()).square().mean().backward()
    for name, weight in generator.named_parameters():
        assert weight.grad is not None, name
        dead = name.endswith("bias") and name != "model.38.bias"
        assert (weight.grad.abs().max() < 1e-12) == dead, name


def test_training_starts_as_published() -> None:
    torch.manual_seed(0)
    generator = GlobalGenerator(16, nn.BatchNorm2d)
    for index in (7, 25):
        convolution = generator.model[index]
        assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert convolution.weight.mean().item() == pytest.approx(0, abs=1e-3)
        assert convolution.bias.any()
    gains = torch.cat([m.weight for m in generator.modules() if isinstance(m, nn.BatchNorm2d)])
    assert gains.std().item() == pytest.approx(0.02, rel=0.1)
    assert gains.mean().item() == pytest.approx(1, abs=1e-3)
