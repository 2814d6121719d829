"""One step: parts of a batch, long gradients, numbers that are none, what does not fit."""

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

import kit.training.train_step
from kit.inputs.dataset import Sample
from kit.machine.distributed import ProcessGroup
from kit.models.layers import convolution
from kit.training.state import State
from kit.training.train_step import NotFiniteError, TrainStep
from kit.variants.settings import Variant
from tests.helpers.samples import random_sample
from tests.helpers.variants import tiny

pytestmark = pytest.mark.numerical


def begin(variant: Variant) -> tuple[State, TrainStep]:
    torch.manual_seed(0)
    state = State.new(variant)
    return state, TrainStep(variant, state, ProcessGroup())


def batch(count: int, size: int = 32) -> Sample:
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(count, 5, size, size, generator=draw) * 2 - 1
    mask = torch.ones(count, 1, size, size)
    mask[0, :, 20:] = 0  # pairs of different weight
    return Sample(images[:, :2], images[:, 2:], mask)


def weights(state: State) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in state.generator.parameters()])


@pytest.mark.parametrize("gan", [0.0, 1.0])
def test_a_batch_in_parts_is_the_same_batch(gan: float, float64: None) -> None:
    # Gradients, not weights: Adam makes a whole step of the rounding in those that are zero.
    gradients = []
    for accumulate in (1, 2, 4):
        variant = tiny("p2phd1", f"gan={gan}", f"accumulate={accumulate}", "ema=0")
        state, step = begin(variant)
        found: dict[str, torch.Tensor] = {}
        for name, model in (("g", state.generator), ("d", state.discriminator)):
            for key, weight in model.named_parameters() if model else ():
                weight.register_post_accumulate_grad_hook(
                    lambda w, f=found, key=name + key: f.__setitem__(key, w.grad.clone())
                )
        values = step(batch(4, size=128))
        gradients.append((values, found))
    for values, found in gradients[1:]:
        assert values == pytest.approx(gradients[0][0], rel=1e-10)
        for key, gradient in gradients[0][1].items():
            # In front of a norm a bias has no gradient but rounding.
            if key.endswith("weight"):
                assert (found[key] - gradient).norm() < 1e-10 * gradient.norm(), key


@pytest.mark.parametrize("name", [pytest.param("spade2", marks=pytest.mark.slow), "p2phd1"])
def test_a_constant_factor_of_the_loss_changes_nothing_under_adam(name: str, float64: None) -> None:
    """So "L1" (spade2) and "100 L1" (spade3) are one run, up to Adam's epsilon."""
    ends = []
    for factor in (1, 128):  # a power of two, which is exact
        state, step = begin(tiny(name, f"l1={factor}", "ema=0"))
        for group in state.generator_optimizer.param_groups:
            group["eps"] = 1e-300
        start = weights(state)
        for number in range(10):
            step(random_sample(number))
        ends.append(weights(state))
    assert (ends[0] - start).norm() > 0.1
    assert torch.equal(ends[1], ends[0])


@pytest.mark.slow
def test_a_gradient_far_too_long_is_shortened_and_told(monkeypatch) -> None:
    state, step = begin(tiny("p2phd1", "ema=0"))
    lengths = []
    for number in range(30):
        values = step(random_sample(number % 3))
        lengths.append(state.norms["generator"][0].item())
        assert not any(name.endswith("_spike") for name in values)
    whole = kit.training.train_step.pixel_loss
    monkeypatch.setattr(
        kit.training.train_step, "pixel_loss", lambda *images: 1000 * whole(*images)
    )
    usual = state.norms["generator"][0].item()
    values = step(random_sample(0))
    assert 100 < values["generator_spike"] < 10000
    mean = state.norms["generator"][0].item()
    assert mean == pytest.approx(0.99 * usual + 0.01 * 10 * usual, rel=0.2)


@pytest.mark.slow
def test_clip_0_never_shortens(monkeypatch) -> None:
    _, step = begin(tiny("p2phd1", "clip=0"))
    for number in range(25):
        step(random_sample(number))
    whole = kit.training.train_step.pixel_loss
    monkeypatch.setattr(
        kit.training.train_step, "pixel_loss", lambda *images: 1000 * whole(*images)
    )
    assert "generator_spike" not in step(random_sample(0))


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_changes_nothing(where: str, value: float) -> None:
    state, step = begin(tiny("p2phd1"))
    step(random_sample(0))
    before = {n: {k: t.clone() for k, t in f.items()} for n, f in state.tensors().items()}
    bad = random_sample(1)
    if where == "loss":
        bad.target[0, 0, 0, 0] = value
    else:
        weight = next(state.generator.parameters())
        weight.register_hook(lambda gradient: gradient * value)
    with pytest.raises(NotFiniteError, match="l1 is" if where == "loss" else "gradient is"):
        step(bad)
    after = state.tensors()
    for name, tensors in before.items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, after[name][key]), key


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spade4", "p2phd1"])
def test_losses_read_a_step_late_are_the_same_and_train_the_same(name: str) -> None:
    found: list[list[dict[str, float]]] = []
    ends = []
    for late in (False, True):
        state, step = begin(tiny(name))
        step.late = late
        found.append([step(random_sample(number)) for number in range(4)])
        found[-1] += [step.last_losses(), step.last_losses()]
        ends.append(state.tensors())
    now, later = found
    assert now[4:] == [{}, {}] and later[0] == later[5] == {}
    assert later[1:5] == now[:4]
    for group, tensors in ends[0].items():
        assert all(torch.equal(tensor, ends[1][group][key]) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", ["spade4", "p2phd1"])
def test_no_optimiser_takes_a_step_after_numbers_that_are_none_though_they_are_read_late(
    name: str,
) -> None:
    state, step = begin(tiny(name))
    step.late = True
    step(random_sample(0))
    optimisers = state.generator_optimizer, state.discriminator_optimizer
    parameters = [
        weight
        for network in (state.generator, state.discriminator)
        for weight in (network.parameters() if network else ())
    ]

    def trained() -> list[torch.Tensor]:
        moments = [t for each in optimisers if each for t in each.tensors().values()]
        return [t.detach().clone() for t in (*parameters, *moments, *state.norms.values())]

    before = trained()
    bad = random_sample(1)
    bad.target[0, 0, 0, 0] = math.nan
    step(bad)
    with pytest.raises(NotFiniteError, match="l1 is nan") as found:
        step(random_sample(2))
    assert found.value.counted
    assert all(map(torch.equal, before, trained()))


@pytest.mark.slow
def test_what_would_fit_is_found(monkeypatch) -> None:
    _, step = begin(tiny("p2phd1"))
    whole = TrainStep._generator_losses

    def small_card(self, part, *rest):
        if len(part.inputs) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, part, *rest)

    monkeypatch.setattr(TrainStep, "_generator_losses", small_card)
    with pytest.raises(torch.OutOfMemoryError):
        step(batch(8))
    assert step.largest(batch(8)) == 3


def test_every_picture_of_a_step_is_drawn_by_what_was_compiled(monkeypatch) -> None:
    drawn = []

    class Compiled(nn.Module):
        def __init__(self, plain: nn.Module) -> None:
            super().__init__()
            self.plain = plain

        def forward(self, radar: torch.Tensor) -> torch.Tensor:
            drawn.append(torch.is_grad_enabled())
            return self.plain(radar)

    monkeypatch.setattr(torch, "compile", Compiled)
    variant = tiny("spade4")
    TrainStep(variant, State.new(variant), ProcessGroup(), compile=True)(random_sample(0))
    assert drawn == [True, False]  # for its own step, and for the discriminator's


@pytest.mark.slow
def test_half_precision_trains_too() -> None:
    for name in ("spade4", "p2phd1"):
        state, step = begin(tiny(name, "precision=bfloat16"))
        first = step(random_sample(0))["l1"]
        for _ in range(5):
            last = step(random_sample(0))["l1"]
        assert last < first
        assert all(w.dtype == torch.float32 for w in state.generator.parameters())


@pytest.mark.slow
def test_spade_is_compiled_once_without_its_spectral_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        graphs.append(graph.code)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    variant = tiny("spade4")
    step = TrainStep(variant, State.new(variant), ProcessGroup(), compile=True)
    for number in range(3):
        step(random_sample(number))
        assert len(graphs) == 2  # to learn from, and without gradients
    assert not any("mv" in code for code in graphs)


@pytest.mark.parametrize("keep_up", [True, False])
def test_small_maps_are_multiplied_where_products_keep_up(
    keep_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    multiplied: list[torch.Tensor] = []
    linear = convolution.F.linear

    def seen(rows: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        multiplied.append(rows)
        return linear(rows, *rest)

    monkeypatch.setattr(convolution.F, "linear", seen)
    monkeypatch.setattr(kit.training.train_step, "products_keep_up", lambda: keep_up)
    _, step = begin(tiny("p2phd1", "precision=float32"))
    step(random_sample(0))
    assert bool(multiplied) == keep_up
