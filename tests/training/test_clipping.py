"""Gradients are shortened as torch shortens them, and what is usual is their running mean."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_

from kit.training.clipping import clip


def usual(mean: float, seen: int) -> Tensor:
    return torch.tensor([mean, seen], dtype=torch.float64)


@pytest.mark.parametrize("factor", [0.0, 2.0, 50.0])
@pytest.mark.parametrize("seen", [0, 19, 20, 1000])
@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_it_is_torchs_clipping_bit_for_bit(factor: float, seen: int, mean: float) -> None:
    weights = [nn.Parameter(torch.zeros(shape)) for shape in ((7, 5), (11,))]
    gradients = [torch.randn(weight.shape) for weight in weights]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    norm = nn.utils.get_total_norm(gradients)
    length = norm.item()
    found = clip(gradients, norm, norm.double(), usual(mean, seen), factor)
    spiked = seen >= 20 and 0 < factor * mean < length
    if spiked:
        clip_grads_with_norm_(weights, factor * mean, norm)
        assert found.spike.item() == length / mean
        length = factor * mean
    else:
        assert found.spike.item() == 0
    assert all(torch.equal(w.grad, g) for w, g in zip(weights, gradients, strict=True))
    decay = min(0.99, seen / (seen + 1))
    assert found.usual.tolist() == [decay * mean + (1 - decay) * length, seen + 1]
    assert spiked == (factor == 2.0 and mean > 0 and seen >= 20)
