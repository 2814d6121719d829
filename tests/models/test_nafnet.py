import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.nafnet import NafNet

pytestmark = pytest.mark.numerical


def stirred(network: NafNet) -> NafNet:
    """The network in float64, with no weight left where it started."""
    torch.manual_seed(1)
    for weight in network.double().parameters():
        fan_in = weight[0].numel() if weight.ndim == 4 else 1
        nn.init.normal_(weight, 0, 0.5 * fan_in**-0.5)
    return network


def by_hand(weights: dict[str, Tensor], planes: Tensor) -> Tensor:
    """The network from its weights alone, as the paper describes it."""

    def conv(name: str, x: Tensor, **options: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
        gain, bias = (weights[f"{name}.{each}"][:, None, None] for each in ("weight", "bias"))
        return (x - mean) / (variance + 1e-6).sqrt() * gain + bias

    def gate(x: Tensor) -> Tensor:
        return x[:, : x.shape[1] // 2] * x[:, x.shape[1] // 2 :]

    def block(name: str, x: Tensor) -> Tensor:
        y = conv(f"{name}.conv_1", norm(f"{name}.norm_1", x))
        y = gate(conv(f"{name}.conv_2", y, padding=1, groups=y.shape[1]))
        y = y * conv(f"{name}.attention.conv", y.mean((2, 3), keepdim=True))
        x = x + conv(f"{name}.conv_3", y) * weights[f"{name}.scale_1.weight"]
        y = conv(f"{name}.conv_5", gate(conv(f"{name}.conv_4", norm(f"{name}.norm_2", x))))
        return x + y * weights[f"{name}.scale_2.weight"]

    def doubled(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        squares = x.view(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        return squares.reshape(batch, channels // 4, 2 * height, 2 * width)

    x, skipped = conv("intro", planes, padding=1), []
    for level, count in enumerate((1, 1, 1, 2)):
        for each in range(count):
            x = block(f"encoders.{level}.{each}", x)
        skipped.append(x)
        x = conv(f"downs.{level}", x, stride=2)
    x = block("middle.1", block("middle.0", x))
    for level in range(4):
        x = block(f"decoders.{level}.0", doubled(conv(f"ups.{level}.0", x)) + skipped.pop())
    return torch.tanh(conv("ending", x, padding=1))


def test_the_network_equals_its_description() -> None:
    generator = stirred(NafNet(2, inputs=3))
    planes = torch.rand(2, 3, 32, 48, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = by_hand(generator.state_dict(), planes)
        drawn = generator(planes)
    assert expected.std() > 0.1 and expected.abs().max() < 1
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-12)


SIZES = [(12, 976_443), (16, 1_723_171), (32, 6_816_323), (54, 19_321_959)]


@pytest.mark.parametrize(("width", "count"), SIZES)
def test_its_size(width: int, count: int) -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in NafNet(width).parameters()) == count


@pytest.mark.parametrize("size", [(512, 512), (120, 120), (100, 75), (16, 16), (1, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_any_size_comes_back(size: tuple[int, int], training: bool) -> None:
    rgb = NafNet(2, boxes=(5, 31)).train(training)(torch.rand(1, 2, *size))
    assert rgb.shape == (1, 3, *size)
    assert rgb.isfinite().all() and rgb.abs().max() <= 1


def test_an_odd_size_is_drawn_as_a_part_of_its_reflection() -> None:
    generator = stirred(NafNet(2)).float()
    sar = torch.rand(1, 2, 100, 75)
    reflected = F.pad(sar, (0, 80 - 75, 0, 112 - 100), mode="reflect")
    with torch.no_grad():
        assert torch.equal(generator(sar), generator(reflected)[..., :100, :75])


def test_the_memory_format_makes_no_difference_and_stays() -> None:
    generator = stirred(NafNet(2))
    sar = torch.rand(2, 2, 32, 48).double()
    last = sar.to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected, drawn = generator(sar), generator.to(memory_format=torch.channels_last)(last)
        features = generator.encoders[0](generator.intro(last))
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-12)
    assert features.is_contiguous(memory_format=torch.channels_last)


def test_an_untrained_block_changes_nothing_and_every_weight_learns() -> None:
    torch.manual_seed(0)
    generator = NafNet(2).double()
    features = torch.rand(1, 2, 16, 16).double()
    assert torch.equal(generator.encoders[0](features), features)
    generator = stirred(generator)
    generator(torch.rand(2, 2, 32, 32).double()).square().mean().backward()
    idle = [name for name, w in generator.named_parameters() if w.grad is None or not w.grad.any()]
    assert idle == []


def test_gradients_are_those_of_finite_differences() -> None:
    generator = stirred(NafNet(1, boxes=(3,)))
    sar = (torch.rand(1, 2, 16, 16).double() * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(generator, (sar,), fast_mode=True)


def test_the_level_of_the_sar_is_seen() -> None:
    generator = stirred(NafNet(2))
    sar = torch.rand(1, 2, 32, 32).double()
    brighter = sar + torch.tensor([0.5, 0.0]).double()[:, None, None]
    with torch.no_grad():
        before, after = generator(sar), generator(brighter)
    assert (after - before).abs().mean() > 0.02 * before.std()


def test_the_start_depends_on_the_seed_alone() -> None:
    starts = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        starts.append(NafNet(1).state_dict())
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert not torch.equal(starts[0]["intro.weight"], starts[2]["intro.weight"])
