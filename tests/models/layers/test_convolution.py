from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kit.models.layers import convolution
from kit.models.layers.convolution import Convolution3x3, ConvolutionToImage, with_products

pytestmark = pytest.mark.numerical

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
    with with_products(True):
        yield made


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """The weights that are convolved with in this module's own way."""
    made: list[Tensor] = []
    by_squares = convolution._by_squares

    def seen(weight: Tensor) -> Tensor:
        made.append(by_squares(weight))
        return made[-1]

    monkeypatch.setattr(convolution, "_by_squares", seen)
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
    assert len(products) == 1
    compare(drawn, F.conv2d(features, layer.weight, layer.bias, padding=padding), features, layer)
    assert torch.autograd.gradcheck(layer, features[:, :, :3, :3], nondet_tol=0)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 16, 10, 14), (3, 5, 22, 8)])
def test_a_picture_and_its_gradients_are_torchs(
    size: int, shape: tuple[int, ...], kernels: list[Tensor]
) -> None:
    torch.manual_seed(0)
    layer = ConvolutionToImage(shape[1], size).double().to(memory_format=LAST)
    features = maps(*shape)
    drawn = layer(features)
    assert [kernel.shape[0] for kernel in kernels] == [12]
    compare(drawn, F.conv2d(features, layer.weight, layer.bias), features, layer)


def compare(drawn: Tensor, expected: Tensor, features: Tensor, layer: torch.nn.Conv2d) -> None:
    assert drawn.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-12)
    slope = torch.randn_like(expected)
    inputs = (features, layer.weight, layer.bias)
    for ours, torchs in zip(
        torch.autograd.grad(drawn, inputs, slope),
        torch.autograd.grad(expected, inputs, slope),
        strict=True,
    ):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-12)


def test_the_weights_keep_their_names_shapes_and_start() -> None:
    torch.manual_seed(0)
    ours = Convolution3x3(4, 5, padding=1).state_dict()
    torch.manual_seed(0)
    torchs = torch.nn.Conv2d(4, 5, 3, padding=1).state_dict()
    assert ours.keys() == torchs.keys()
    assert all(torch.equal(ours[name], torchs[name]) for name in torchs)


def test_only_small_maps_in_training_are_multiplied_where_that_is_fast(
    products: list[Tensor],
) -> None:
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
    layer.requires_grad_(True)
    with with_products(False):
        layer(small)
    assert not products
    layer(small)
    assert len(products) == 1


def test_only_even_maps_in_training_are_taken_by_squares(kernels: list[Tensor]) -> None:
    layer = ConvolutionToImage(4, 3).to(memory_format=LAST)
    even = maps(1, 4, 6, 8, kind=torch.float32)
    for odd in (maps(1, 4, 7, 8, kind=torch.float32), maps(1, 4, 8, 7, kind=torch.float32)):
        assert layer(odd).shape == (1, 3, odd.shape[2] - 2, odd.shape[3] - 2)
    with torch.no_grad():
        layer(even)
    with torch.autocast("cpu", torch.bfloat16):
        layer(even)
    assert not kernels
    layer(even)
    assert len(kernels) == 1


@pytest.mark.parametrize(
    "layer", [Convolution3x3(4, 64, padding=1), ConvolutionToImage(4, 3)], ids=["3x3", "image"]
)
def test_an_export_is_of_a_convolution_for_any_batch(layer: torch.nn.Conv2d) -> None:
    layer = layer.to(memory_format=LAST).requires_grad_(False)
    batch = torch.export.Dim("batch", min=1, max=1024)
    tiles = (maps(2, 4, 4, 4, kind=torch.float32),)
    exported = torch.export.export(layer.eval(), tiles, dynamic_shapes=({0: batch},))
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert "aten.conv2d.default" in names and not any("index" in name for name in names)
