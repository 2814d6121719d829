import pytest
import torch
import torch.nn.functional as F

from kit.machine import native
from kit.models.layers import instance_norm
from kit.models.layers.instance_norm import InstanceNorm

pytestmark = pytest.mark.numerical

LAST = torch.channels_last


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients_are_torchs(kind: torch.dtype, memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    features = (torch.randn(3, 5, 32, 48) * 3 + 1).to(kind, memory_format=memory)
    slope = torch.randn(3, 5, 32, 48, dtype=kind)
    ours, torchs = (features.clone().requires_grad_() for _ in range(2))
    drawn, expected = InstanceNorm(5)(ours), F.instance_norm(torchs)
    (drawn * slope).sum().backward()
    (expected * slope).sum().backward()
    bound = 1e-5 if kind == torch.float32 else 1e-12
    torch.testing.assert_close(drawn, expected, rtol=0, atol=bound)
    torch.testing.assert_close(ours.grad, torchs.grad, rtol=0, atol=bound)
    assert drawn.is_contiguous(memory_format=memory)


def test_evaluation_is_one_operation_of_any_layout_and_batch() -> None:
    norm = InstanceNorm(5).eval()
    features = torch.randn(2, 5, 6, 7).to(memory_format=torch.channels_last)
    assert torch.equal(norm(features), F.instance_norm(features))
    batch = torch.export.Dim("batch", min=1, max=1024)
    graph = torch.export.export(norm, (features,), dynamic_shapes=({0: batch},)).graph
    assert [str(node.target) for node in graph.nodes].count("aten.instance_norm.default") == 1


def test_a_map_of_one_pixel_is_refused_either_way() -> None:
    for memory in (torch.channels_last, torch.contiguous_format):
        with pytest.raises(ValueError, match="Expected more than 1"):
            InstanceNorm(2)(torch.ones(1, 2, 1, 1).to(memory_format=memory))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("gradient_last", [False, True])
def test_the_gradient_is_right_in_every_layout(count: int, last: bool, gradient_last: bool) -> None:
    """torch's own is wrong for one picture with a gradient that lies channels last."""
    torch.manual_seed(count)
    features, gradient = torch.randn(2, count, 4, 8, 8, dtype=torch.float64).unbind()
    kinds = torch.contiguous_format, torch.channels_last
    found = features.clone(memory_format=kinds[last]).requires_grad_()
    InstanceNorm(4)(found).backward(gradient.clone(memory_format=kinds[gradient_last]))
    plain = features.clone().requires_grad_()
    centred = plain - plain.mean((2, 3), keepdim=True)
    (centred * (centred.square().mean((2, 3), keepdim=True) + 1e-5).rsqrt()).backward(gradient)
    torch.testing.assert_close(found.grad, plain.grad)


@pytest.fixture
def compiled() -> None:
    library, why = native.load("kit_norms")
    if library is None:
        pytest.skip(why)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 16, 3, 3), (3, 37, 16, 33), (4, 64, 64, 64)])
@pytest.mark.parametrize("level", [0.0, 1000.0])
def test_the_core_is_the_reference(shape: tuple[int, ...], level: float) -> None:
    torch.manual_seed(0)
    features = (torch.randn(shape) + level).to(memory_format=LAST)
    gradient = torch.randn(shape).to(memory_format=LAST)
    exact = instance_norm.reference_norm(features.double(), 1e-5)
    slope = instance_norm.reference_gradient(gradient.double(), features.double(), *exact[1:])
    found = instance_norm.norm(features, 1e-5)
    plain = instance_norm.reference_norm(features, 1e-5)
    assert [t.shape for t in found] == [t.shape for t in plain]
    # Their rounding is that of the mean, a number as large as the level.
    bound = 1e-5 + 1e-6 * level
    for tensor, other in zip(found, exact, strict=True):
        torch.testing.assert_close(tensor.double(), other, rtol=1e-5, atol=bound)
    drawn = instance_norm.norm_gradient(gradient, features, *found[1:])
    torch.testing.assert_close(drawn.double(), slope, rtol=1e-5, atol=bound)
    assert all(t.is_contiguous(memory_format=LAST) for t in (found[0], drawn))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("level", [0.1, 7.25, 1000.1])
def test_a_constant_map_becomes_nothing_whatever_the_threads(level: float) -> None:
    features = torch.randn(3, 40, 31, 33).to(memory_format=LAST)
    features[:, 5] = level
    assert not instance_norm.reference_norm(features, 1e-5)[0][:, 5].any()
    before, drawn = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            drawn.append(instance_norm.norm(features, 1e-5)[0])
    finally:
        torch.set_num_threads(before)
    assert not drawn[0][:, 5].any()
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


def test_a_second_derivative_is_refused_not_forgotten() -> None:
    features = torch.randn(2, 3, 4, 4).to(memory_format=LAST).requires_grad_()
    loss = InstanceNorm(3)(features).pow(3).sum()
    (slope,) = torch.autograd.grad(loss, features, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_without_the_core_the_reference_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_norm, "load", lambda _: (None, "not there"))
    test_values_and_gradients_are_torchs(torch.float32, LAST)
