from typing import TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit.models.layers.means import Resize
from kit.models.published import export_reference_weights
from kit.models.rewrites.spectral_norm import normed
from kit.models.spade import Spade, SpadeGenerator
from kit.variants.settings import Depth

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("thin")]

Network = TypeVar("Network", bound=nn.Module)

DEPTHS: tuple[Depth, ...] = ("normal", "more", "most")


def stirred(network: Network) -> Network:
    """The network in float64 and eval mode, with no weight or statistic left where it started."""
    torch.manual_seed(1)
    for name, value in network.double().state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif not name.endswith(("num_batches_tracked", ".original", "._u", "._v")):
            value.normal_(0, 0.5 * value[0].numel() ** -0.5)
    for _, module, _ in normed(network.train()):
        for _ in range(15):  # readings, after which u and v are as good as training leaves them
            _ = module.weight
    return network.eval()


def conv(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """A convolution by its published weights, divided by their spectral norm if they have one."""
    bias = weights.get(f"{name}.bias")
    if f"{name}.weight" in weights:
        return F.conv2d(x, weights[f"{name}.weight"], bias, padding=1)
    weight = weights[f"{name}.weight_orig"]
    sigma = weights[f"{name}.weight_u"] @ weight.flatten(1) @ weights[f"{name}.weight_v"]
    return F.conv2d(x, weight / sigma, bias, padding=weight.shape[-1] // 2)


def resized(sar: Tensor, step: int, how: Resize) -> Tensor:
    if how == "nearest":
        return sar[..., ::step, ::step]
    return sar.unfold(2, step, step).unfold(3, step, step).mean(dim=(4, 5))


def modulated(weights: dict[str, Tensor], name: str, x: Tensor, sar: Tensor, how: Resize) -> Tensor:
    step = sar.shape[-1] // x.shape[-1]
    hidden = conv(weights, f"{name}.mlp_shared.0", resized(sar, step, how)).clamp(min=0)
    mean, variance = (
        weights[f"{name}.param_free_norm.running_{which}"][:, None, None]
        for which in ("mean", "var")
    )
    gamma, beta = (conv(weights, f"{name}.mlp_{which}", hidden) for which in ("gamma", "beta"))
    return (x - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta


def block(weights: dict[str, Tensor], name: str, x: Tensor, sar: Tensor, how: Resize) -> Tensor:
    def normed(norm: str, x: Tensor) -> Tensor:
        return modulated(weights, f"{name}.{norm}", x, sar, how)

    y = conv(weights, f"{name}.conv_0", F.leaky_relu(normed("norm_0", x), 0.2))
    y = conv(weights, f"{name}.conv_1", F.leaky_relu(normed("norm_1", y), 0.2))
    if f"{name}.conv_s.weight_orig" in weights:
        x = conv(weights, f"{name}.conv_s", normed("norm_s", x))
    return x + y


def by_hand(
    weights: dict[str, Tensor], sar: Tensor, depth: Depth, how: Resize = "nearest"
) -> Tensor:
    """The published generator, from its published weights alone; or one whose SAR is averaged."""
    order = {
        "normal": "head_0 / G_middle_0 G_middle_1 / up_0 / up_1 / up_2 / up_3",
        "more": "head_0 / G_middle_0 / G_middle_1 / up_0 / up_1 / up_2 / up_3",
        "most": "head_0 / G_middle_0 / G_middle_1 / up_0 / up_1 / up_2 / up_3 / up_4",
    }[depth]
    step = 2 ** order.count("/")
    x = conv(weights, "fc", resized(sar, step, how))
    for name in order.split():
        if name == "/":
            x = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        else:
            x = block(weights, name, x, sar, how)
    return torch.tanh(conv(weights, "conv_img", F.leaky_relu(x, 0.2)))


@pytest.mark.parametrize("how", ["nearest", "mean"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_network_equals_its_description(depth: Depth, how: Resize) -> None:
    generator = stirred(SpadeGenerator(1, depth, resize=how))
    side = generator.shrink * 2
    sar = torch.rand(1, 2, side, side + generator.shrink, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = by_hand(export_reference_weights(generator), sar, depth, how)
        drawn = generator(sar)
    assert expected.std() > 0.1 and expected.abs().max() < 1
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_tile_of_one_cell_is_taken_as_published(depth: Depth) -> None:
    generator = stirred(SpadeGenerator(1, depth))
    sar = torch.rand(2, 2, generator.shrink, generator.shrink, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = by_hand(export_reference_weights(generator), sar, depth)
        drawn = generator(sar)
    assert expected.std() > 0.01
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-12)
    # Two images have two values to norm in training; one has not, and an instance norm never has.
    with torch.no_grad():
        assert generator.train()(sar).isfinite().all()
        assert generator(sar[:1]).isfinite().all()
        for mode in (True, False):
            instance = SpadeGenerator(1, depth, nn.InstanceNorm2d).double().train(mode)
            assert instance(sar).isfinite().all()


def test_a_row_of_cells_is_taken_as_published() -> None:
    generator = stirred(SpadeGenerator(1))
    sar = torch.rand(1, 2, 32, 96, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = by_hand(export_reference_weights(generator), sar, "normal")
        assert torch.allclose(generator(sar), expected, rtol=0, atol=1e-12)


def test_one_instance_norm_equals_its_formula() -> None:
    spade = stirred(Spade(3, nn.InstanceNorm2d))
    features, sar = torch.randn(2, 3, 5, 6).double() * 3 + 1, torch.randn(2, 2, 5, 6).double()
    with torch.no_grad():
        hidden = np.maximum(_convolved(sar.numpy(), spade.mlp_shared[0]), 0)
        gamma, beta = _convolved(hidden, spade.mlp_gamma), _convolved(hidden, spade.mlp_beta)
        drawn = spade(features, sar).numpy()
    x = features.numpy()
    mean, variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * (1 + gamma) + beta
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-12)


def _convolved(x: np.ndarray, convolution: nn.Conv2d) -> np.ndarray:
    """A zero-padded 3 x 3 convolution by the definition."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    summed = np.einsum("bchwij,ocij->bohw", windows, convolution.weight.numpy())
    return summed + convolution.bias.numpy()[:, None, None]


def test_nearest_resizing_picks_every_nth_pixel() -> None:
    sar = torch.rand(1, 2, 224, 96)
    for step in (2, 4, 8, 16, 32):
        small = F.interpolate(sar, size=(224 // step, 96 // step), mode="nearest")
        assert torch.equal(small, sar[..., ::step, ::step])


@pytest.mark.parametrize("size", [(512, 512), (120, 120), (100, 75), (32, 32), (1, 1)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    rgb = SpadeGenerator(1)(torch.rand(1, 2, *size))
    assert rgb.shape == (1, 3, *size)
    assert rgb.abs().max() <= 1


def test_the_smallest_tile_trains_with_instance_norm_at_the_greatest_depth() -> None:
    rgb = SpadeGenerator(1, "most", nn.InstanceNorm2d).train()(torch.rand(1, 2, 1, 1))
    assert rgb.shape == (1, 3, 1, 1) and rgb.isfinite().all()


def test_an_odd_size_is_drawn_as_a_part_of_its_reflection() -> None:
    generator = stirred(SpadeGenerator(1)).float()
    sar = torch.rand(1, 2, 100, 75)
    reflected = F.pad(sar, (0, 96 - 75, 0, 128 - 100), mode="reflect")
    with torch.no_grad():
        assert torch.equal(generator(sar), generator(reflected)[..., :100, :75])


@pytest.mark.slow
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_the_level_of_the_sar_is_seen(norm: type[nn.Module]) -> None:
    """By networks on average: of one with random weights the output may change by 0.01 to 0.2."""
    changes = []
    for seed in range(8):
        torch.manual_seed(seed)
        generator = stirred(SpadeGenerator(1, norm=norm))
        sar = torch.rand(1, 2, 64, 64).double()
        brighter = sar + torch.tensor([0.5, 0.0]).double()[:, None, None]
        with torch.no_grad():
            before, after = generator(sar), generator(brighter)
        changes.append((after - before).abs().mean() / before.std())
    assert torch.stack(changes).mean() > 0.02


def test_every_weight_learns() -> None:
    # In eval mode, because a batch's own statistics take the effect of most biases away.
    generator = stirred(SpadeGenerator(1))
    generator(torch.rand(1, 2, 64, 64).double()).square().mean().backward()
    idle = [name for name, w in generator.named_parameters() if w.grad is None or not w.grad.any()]
    assert idle == []


def test_training_starts_as_published() -> None:
    torch.manual_seed(0)
    generator = SpadeGenerator(8)
    # Xavier: gain * sqrt(2 / (fan in + fan out)); torch's own: uniform within 1 / sqrt(fan in).
    for convolution in (generator.fc, generator.up_0.norm_0.mlp_gamma):
        fans = 9 * (convolution.in_channels + convolution.out_channels)
        assert convolution.weight.std().item() == pytest.approx(0.02 * (2 / fans) ** 0.5, rel=0.05)
    for convolution in (generator.head_0.conv_0, generator.up_0.conv_s):
        original = convolution.parametrizations.weight.original
        bound = original[0].numel() ** -0.5
        assert original.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert original.abs().max() <= bound
        # One iteration from a random direction finds most of the largest singular value.
        assert 1 < torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() < 1.6
    biases = [w for name, w in generator.named_parameters() if name.endswith("bias")]
    assert len(biases) == 70 and not any(bias.any() for bias in biases)


def test_the_start_depends_on_the_seed_alone() -> None:
    starts = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        starts.append(SpadeGenerator(1).state_dict())
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
    assert not torch.equal(starts[0]["fc.weight"], starts[2]["fc.weight"])
