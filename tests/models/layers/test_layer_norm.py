import pytest
import torch
from torch import nn

from kit.models.layers.layer_norm import LayerNorm, PlainLayerNorm


def by_hand(features: torch.Tensor) -> torch.Tensor:
    mean, variance = features.mean(1, keepdim=True), features.var(1, correction=0, keepdim=True)
    return (features - mean) / (variance + 1e-6).sqrt()


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_the_channels_of_each_pixel_are_normalised(memory: torch.memory_format) -> None:
    features = (torch.randn(2, 5, 3, 4).double() * 3 + 1).to(memory_format=memory)
    norm = LayerNorm(5).double()
    for weight in norm.parameters():
        nn.init.normal_(weight)
    gain, bias = (weight[:, None, None] for weight in (norm.weight, norm.bias))
    found, expected = norm(features), by_hand(features) * gain + bias
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert found.is_contiguous(memory_format=memory) or memory is torch.contiguous_format
    plain = PlainLayerNorm()(features)
    torch.testing.assert_close(plain, by_hand(features), rtol=0, atol=1e-12)


def test_statistics_are_taken_in_float32() -> None:
    features = (torch.randn(1, 512, 8, 8) + 20).to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = LayerNorm(512)(features)
    expected = by_hand(features.double()).float()
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=0.02)
