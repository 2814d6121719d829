"""Adam over views is torch's Adam, however weights and gradients lie."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kit.training.adam import Adam

pytestmark = pytest.mark.numerical

LAYOUTS = torch.contiguous_format, torch.channels_last
RATE, BETAS = 0.01, (0.5, 0.999)


def weights(layout: torch.memory_format) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    shapes = ((8, 6, 3, 3), (8,), (4, 8, 1, 1), (5, 1, 7, 7), (3, 4))
    drawn = [torch.randn(shape, generator=draw) for shape in shapes]
    return [nn.Parameter(w.to(memory_format=layout) if w.dim() == 4 else w) for w in drawn]


def gradients(step: int, of: list[nn.Parameter], layout: torch.memory_format) -> list[Tensor]:
    draw = torch.Generator().manual_seed(step)
    drawn = [torch.randn(w.shape, generator=draw) for w in of]
    return [g.to(memory_format=layout) if g.dim() == 4 else g for g in drawn]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("other_layout", LAYOUTS)
@pytest.mark.parametrize("decay", [0, 0.3])
def test_steps_are_torchs(
    layout: torch.memory_format, other_layout: torch.memory_format, decay: float
) -> None:
    ours, torchs = weights(layout), weights(LAYOUTS[0])
    adam = Adam(ours, RATE, BETAS, decay)
    plain: dict[str, Any] = {"lr": RATE, "betas": BETAS, "fused": False, "foreach": False}
    reference = torch.optim.Adam(torchs, **plain)
    if decay:
        reference = torch.optim.AdamW(torchs, **plain, weight_decay=decay)
    for number in range(5):
        for of, kind in ((ours, other_layout), (torchs, LAYOUTS[0])):
            for weight, gradient in zip(of, gradients(number, of, kind), strict=True):
                weight.grad = gradient
        if number == 2:
            ours[0].grad = torchs[0].grad = None
        adam.step()
        reference.step()
        adam.zero_grad()
        assert all(weight.grad is None for weight in ours)
    for one, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_without_decay_it_is_torchs_fused_adam_to_the_last_bit() -> None:
    ours, torchs = weights(LAYOUTS[0]), weights(LAYOUTS[0])
    adam, reference = Adam(ours, RATE, BETAS), torch.optim.Adam(torchs, RATE, BETAS, fused=True)
    for number in range(5):
        step(adam, ours, number)
        for weight, gradient in zip(torchs, gradients(number, torchs, LAYOUTS[0]), strict=True):
            weight.grad = gradient
        reference.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, torchs, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("other_layout", LAYOUTS)
def test_what_it_remembers_is_of_no_layout(
    layout: torch.memory_format, other_layout: torch.memory_format
) -> None:
    ours, others = weights(layout), weights(other_layout)
    first, second = Adam(ours, RATE, BETAS), Adam(others, RATE, BETAS)
    step(first, ours, 0)
    second.restore(first.tensors())
    with torch.no_grad():
        for one, other in zip(ours, others, strict=True):
            other.copy_(one)
    for adam, of in ((first, ours), (second, others)):
        step(adam, of, 1)
    for index, (one, other) in enumerate(zip(ours, others, strict=True)):
        assert torch.equal(one, other)
        assert first.tensors()[f"{index}/exp_avg"].shape == one.shape
    assert all(torch.equal(second.tensors()[key], t) for key, t in first.tensors().items())


def step(adam: Adam, of: list[nn.Parameter], number: int) -> None:
    for weight, gradient in zip(of, gradients(number, of, LAYOUTS[0]), strict=True):
        weight.grad = gradient
    adam.step()


def test_what_is_of_other_weights_is_refused() -> None:
    adam = Adam(weights(LAYOUTS[0])[:1], RATE, BETAS)
    with pytest.raises(IndexError):
        adam.restore({"1/step": torch.ones(())})
    for shape in ((2, 2, 3, 3), (6, 8, 3, 3), (432,)):
        with pytest.raises(ValueError, match="0/exp_avg is of another shape"):
            adam.restore({"0/exp_avg": torch.ones(shape)})


def test_a_skipped_step_changes_nothing() -> None:
    ours = weights(LAYOUTS[1])
    adam = Adam(ours, RATE, BETAS)
    for number, skipped in enumerate((0.0, 1.0, 0.0)):
        for weight, gradient in zip(ours, gradients(number, ours, LAYOUTS[1]), strict=True):
            weight.grad = gradient * torch.nan if skipped else gradient
        before = [weight.detach().clone() for weight in ours]
        adam.step(torch.tensor(skipped))
        assert all(map(torch.equal, before, ours)) == bool(skipped)
    twice = weights(LAYOUTS[1])
    other = Adam(twice, RATE, BETAS)
    for number in (0, 2):
        for weight, gradient in zip(twice, gradients(number, twice, LAYOUTS[1]), strict=True):
            weight.grad = gradient
        other.step()
    assert all(map(torch.equal, ours, twice))
    states = adam.tensors(), other.tensors()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
