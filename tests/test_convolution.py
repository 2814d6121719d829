from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kit.models import convolution
from kit.models.convolution import Convolution3x3

LAST = torch.channels_last


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """The matrices that are multiplied instead of convolving."""
    made: list[Tensor] = []
    linear = F.linear

    def seen(rows: Tensor, *rest: Tensor) -> Tensor:
        made.append(rows)
        return linear(rows, *rest)

    monkeypatch.setattr(convolution.F, "linear", seen)
    yield made


def maps(*shape: int, kind: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape).to(kind, memory_format=LAST).requires_grad_()


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("shape", [(1, 4, 3, 3), (2, 16, 8, 8), (3, 7, 5, 9)])
def test_values_and_gradients_are_torchs(
    padding: int, shape: tuple[int, ...], products: list[Tensor]
) -> None:
    torch.manual_seed(0)
    layer = Convolution3x3(shape[1], 100, padding).double().to(memory_format=LAST)
    features = maps(*shape)
    drawn = layer(features)
    expected = F.conv2d(features, layer.weight, layer.bias, padding=padding)
    assert len(products) == 1 and drawn.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-12)
    slope = torch.randn_like(expected)
    inputs = (features, layer.weight, layer.bias)
    for ours, torchs in zip(
        torch.autograd.grad(drawn, inputs, slope),
        torch.autograd.grad(expected, inputs, slope),
        strict=True,
    ):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(layer, features[:, :, :3, :3], nondet_tol=0)


def test_the_weights_keep_their_names_shapes_and_start() -> None:
    torch.manual_seed(0)
    ours = Convolution3x3(4, 5, padding=1).state_dict()
    torch.manual_seed(0)
    torchs = torch.nn.Conv2d(4, 5, 3, padding=1).state_dict()
    assert ours.keys() == torchs.keys()
    assert all(torch.equal(ours[name], torchs[name]) for name in torchs)


def test_only_small_maps_in_training_are_multiplied(products: list[Tensor]) -> None:
    layer = Convolution3x3(4, 8).to(memory_format=LAST)
    small = maps(1, 4, 4, 4, kind=torch.float32)
    layer(maps(1, 4, 5, 5, kind=torch.float32))
    layer(small.contiguous())
    with torch.no_grad():
        layer(small)
    with torch.autocast("cpu", torch.bfloat16):
        layer(small)
    layer.requires_grad_(False)
    layer(small)
    assert not products
    layer.requires_grad_(True)
    layer(small)
    assert len(products) == 1


def test_an_export_is_of_a_convolution_for_any_batch() -> None:
    layer = Convolution3x3(4, 64, padding=1).to(memory_format=LAST).requires_grad_(False)
    batch = torch.export.Dim("batch", min=1, max=1024)
    tiles = (maps(2, 4, 4, 4, kind=torch.float32),)
    exported = torch.export.export(layer.eval(), tiles, dynamic_shapes=({0: batch},))
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert "aten.conv2d.default" in names and not any("index" in name for name in names)
