"""Spectral norm is that of SPADE's authors; torch's own is there for runs that began with it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from kit.engines.backends import inductor
from kit.errors import InputError
from kit.models.layers.spectral_norm import SpectralNorm, divide, spectral_norm
from kit.models.registry import build_discriminator, build_generator
from kit.models.rewrites.spectral_norm import normed, read_weights
from tests.helpers.variants import tiny

pytestmark = pytest.mark.numerical


def matrix(*rows: list[float]) -> Tensor:
    """A weight [C', C, 1, 1]."""
    return torch.tensor(rows)[..., None, None]


def begun(weight: Tensor, u: list[float], v: list[float]) -> SpectralNorm:
    norm = SpectralNorm(weight)
    norm._u.copy_(torch.tensor(u))
    norm._v.copy_(torch.tensor(v))
    return norm


def test_v_is_updated_first_then_u(float64: None) -> None:
    weight = matrix([3.0, 0.0], [0.0, 1.0])
    norm = begun(weight, u=[0.6, 0.8], v=[0.0, 1.0])
    # v = W'u = (1.8, 0.8), u = W v = (5.4, 0.8), each over its length; sigma = |W v|.
    v, u = math.hypot(1.8, 0.8), math.hypot(5.4, 0.8)
    divided = norm(weight)
    assert norm._v.tolist() == pytest.approx([1.8 / v, 0.8 / v])
    assert norm._u.tolist() == pytest.approx([5.4 / u, 0.8 / u])
    assert (weight / divided)[0, 0].item() == pytest.approx(u / v)  # 2.7713, of 3
    # Again: v = (16.2, 0.8), u = (48.6, 0.8).
    v, u = math.hypot(16.2, 0.8), math.hypot(48.6, 0.8)
    assert (weight / norm(weight))[0, 0].item() == pytest.approx(u / v)  # 2.9968


def test_torchs_rule_updates_u_first(float64: None) -> None:
    convolution = nn.Conv2d(2, 2, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(matrix([3.0, 0.0], [0.0, 1.0]))
    spectral_norm(convolution, "torch")
    (norm,) = convolution.parametrizations.weight
    norm._v.copy_(torch.tensor([0.6, 0.8]))
    # u = W v = (1.8, 0.8), v = W'u = (5.4, 0.8).
    u, v = math.hypot(1.8, 0.8), math.hypot(5.4, 0.8)
    sigma = (3 * 1.8 * 5.4 + 0.8 * 0.8) / (u * v)
    assert convolution.weight[0, 0].item() == pytest.approx(3 / sigma)
    assert norm._v.tolist() == pytest.approx([5.4 / v, 0.8 / v])


def test_evaluation_updates_nothing(float64: None) -> None:
    weight = matrix([3.0, 0.0], [0.0, 1.0])
    norm = begun(weight, u=[0.6, 0.8], v=[1.0, 0.0]).eval()
    # sigma = u W v = 1.8.
    assert norm(weight).flatten().tolist() == pytest.approx([3 / 1.8, 0, 0, 1 / 1.8])
    assert norm._u.tolist() == [0.6, 0.8] and norm._v.tolist() == [1, 0]


def test_it_starts_at_random_directions() -> None:
    """The first divisor is 0.83 of the largest singular value on average, and not 0.98 of it."""
    shares: dict[str, list[Tensor]] = {"published": [], "torch": []}
    for rule, found in shares.items():
        for seed in range(30):
            torch.manual_seed(seed)
            convolution = nn.Conv2d(32, 32, 3)
            largest = torch.linalg.matrix_norm(convolution.weight.flatten(1), 2)
            first = convolution.weight.flatten()[0].clone()
            normed = spectral_norm(convolution, rule)
            found.append(first / normed.weight.flatten()[0] / largest)
    means = {rule: torch.stack(found).mean().item() for rule, found in shares.items()}
    assert 0.75 < means["published"] < 0.9
    assert 0.95 < means["torch"] <= 1


@pytest.mark.filterwarnings("ignore:.*spectral_norm:FutureWarning")
def test_it_trains_as_the_hook_of_the_published_code() -> None:
    pairs = []
    for make in (
        lambda module: spectral_norm(module, "published"),
        torch.nn.utils.spectral_norm,
    ):
        torch.manual_seed(3)
        module = make(nn.Conv2d(3, 5, 3))
        pairs.append((module, torch.optim.SGD(module.parameters(), lr=0.01)))
    for step in range(4):
        image = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        outputs = []
        for module, optimizer in pairs:
            outputs.append(module(image))
            optimizer.zero_grad()
            outputs[-1].square().sum().backward()
            optimizer.step()
        assert torch.equal(*outputs)
    ours, theirs = (module.state_dict() for module, _ in pairs)
    assert torch.equal(ours["parametrizations.weight.0._u"], theirs["weight_u"])
    assert torch.equal(ours["parametrizations.weight.0._v"], theirs["weight_v"])
    assert torch.equal(ours["parametrizations.weight.original"], theirs["weight_orig"])


def test_two_readings_can_be_learnt_from() -> None:
    convolution = spectral_norm(nn.Conv2d(2, 2, 1), "published")
    first, second = (convolution(torch.rand(1, 2, 4, 4)).sum() for _ in range(2))
    (first - second).backward()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_many_at_once_are_bit_for_bit_what_each_is_alone(
    training: bool, layout: torch.memory_format
) -> None:
    """By the formula, with the gradient that torch derives from it."""
    shapes = [(5, 3, 3, 3), (16, 24, 3, 3), (16, 24, 3, 3), (7, 33, 1, 1), (1, 2, 4, 4)]
    weights = [torch.randn(*shape).to(memory_format=layout).requires_grad_() for shape in shapes]
    norms = [SpectralNorm(weight).train(training) for weight in weights]
    factors = [torch.randn(shape) for shape in shapes]
    us, vs, expected = [], [], []
    for norm, weight in zip(norms, weights, strict=True):
        u, v, matrix = norm._u.clone(), norm._v.clone(), weight.flatten(1)
        if training:
            v = F.normalize(torch.mv(matrix.mT, u), dim=0, eps=1e-12).detach()
            u = F.normalize(torch.mv(matrix, v), dim=0, eps=1e-12).detach()
        us.append(u)
        vs.append(v)
        expected.append(weight / torch.dot(u, torch.mv(matrix, v)))
    found = divide(norms, weights)
    assert all(map(torch.equal, found, expected))
    assert all(torch.equal(norm._u, u) for norm, u in zip(norms, us, strict=True))
    assert all(torch.equal(norm._v, v) for norm, v in zip(norms, vs, strict=True))
    ours, theirs = (
        torch.autograd.grad([w.mul(f).square().sum() for w, f in pairs], weights)
        for pairs in (zip(made, factors, strict=True) for made in (found, expected))
    )
    assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("rule", ["published", "torch"])
def test_a_variant_decides_the_rule_of_both_networks(rule: str) -> None:
    variant = tiny("spade4", f"spectral_norm={rule}")
    kind = {"published": SpectralNorm, "torch": parametrizations._SpectralNorm}[rule]
    for network, count in ((build_generator(variant), 18), (build_discriminator(variant), 6)):
        norms = [m for m in network.modules() if "SpectralNorm" in type(m).__name__]
        assert len(norms) == count and all(type(norm) is kind for norm in norms)


def test_the_rules_start_with_the_same_weights_and_predict_alike() -> None:
    """In evaluation only u and v may differ, which torch's rule improves at the start."""
    states = []
    for rule in ("published", "torch"):
        torch.manual_seed(0)
        states.append(build_generator(tiny("spade2", f"spectral_norm={rule}")).state_dict())
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]) or name.endswith(("_u", "_v")), name


def test_either_reads_the_weights_of_the_other() -> None:
    torch.manual_seed(0)
    old, new = (
        build_generator(tiny("spade2", f"spectral_norm={rule}")) for rule in ("torch", "published")
    )
    new.load_state_dict(old.state_dict())
    sar = torch.rand(1, 2, 64, 64)
    with torch.no_grad():
        assert torch.equal(old.eval()(sar), new.eval()(sar))
    assert not F.mse_loss(old.train()(sar), new.train()(sar)).isnan()


@pytest.mark.parametrize("rule", ["published", "torch"])
def test_a_networks_weights_read_together_are_those_read_one_by_one(rule: str) -> None:
    states = []
    for together in (True, False):
        torch.manual_seed(0)
        network = build_discriminator(tiny("spade4", f"spectral_norm={rule}"))
        weights = read_weights(network) if together else {}
        for name, module, _ in [] if together else normed(network):
            weights[name] = module.weight
        assert len(weights) == 6
        states.append(weights | dict(network.named_buffers()))
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_a_compiled_convolution_learns_as_it_does_uncompiled() -> None:
    try:
        inductor.require()
    except InputError as missing:
        pytest.skip(missing.problem)
    gradients = []
    for compiled in (False, True):
        torch.manual_seed(0)
        module = spectral_norm(nn.Conv2d(2, 4, 3), "published")
        call = torch.compile(module) if compiled else module
        call(torch.rand(2, 2, 8, 8)).square().mean().backward()
        gradients.append(module.parametrizations.weight.original.grad)
    torch.testing.assert_close(*gradients)
