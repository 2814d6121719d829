from dataclasses import replace

import pytest
import torch
from plain import Plain
from torch import Tensor, nn

from kit.inputs.dataset import Sample
from kit.machine.distributed import ProcessGroup
from kit.models.registry import build_discriminator, build_generator
from kit.training.losses import generator_loss, pixel_loss
from kit.training.state import State
from kit.training.train_step import TrainStep
from kit.variants.registry import P2PHD1, SPADE1
from kit.variants.settings import Variant

pytestmark = pytest.mark.numerical

SMALL = {"width": 2, "discriminator_width": 2}
SPECTRAL = {
    ".parametrizations.weight.original": ".weight_orig",
    ".parametrizations.weight.0._": ".weight_",
}
VARIANTS = {
    "spade": replace(SPADE1, **SMALL),
    "spade instance": replace(SPADE1, norm="instance", **SMALL),
    "pix2pixhd": replace(P2PHD1, gan=0.0, **SMALL),
    "pix2pixhd batch": replace(P2PHD1, norm="batch", **SMALL),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_pictures_losses_and_gradients_are_those_of_the_plain_networks(
    variant: Variant, float64: None
) -> None:
    compare(variant, bound=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_they_are_in_float32_too(variant: Variant, no_kinks: None) -> None:
    """Which alone the compiled core norms."""
    compare(variant, bound=1e-4)


def renamed(network: nn.Module) -> dict[str, Tensor]:
    return {plainly(name): tensor for name, tensor in network.state_dict().items()}


def plainly(name: str) -> str:
    for ours, theirs in SPECTRAL.items():
        name = name.replace(ours, theirs)
    return name


def compare(variant: Variant, bound: float) -> None:
    torch.manual_seed(0)
    generator = build_generator(variant).to(memory_format=torch.channels_last)
    plain = Plain.new(variant)
    plain.generator.load_state_dict(renamed(generator))
    sar = torch.rand(2, 2, 64, 64) * 2 - 1
    # No picture gets there, so nothing lies at the kink of the L1 loss.
    target = (1.1 + torch.rand(2, 3, 64, 64)) * torch.randn(2, 3, 64, 64).sign()
    mask = torch.ones(2, 1, 64, 64)
    ours = generator(sar.to(memory_format=torch.channels_last))
    theirs = plain.generator(sar)
    torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound / 10)
    losses = [pixel_loss(rgb, target, mask) for rgb in (ours, theirs)]
    if plain.discriminator:
        judge = build_discriminator(variant).to(memory_format=torch.channels_last)
        plain.discriminator.load_state_dict(renamed(judge))
        maps = [d(sar, rgb) for d, rgb in ((judge, ours), (plain.discriminator, theirs))]
        losses = [a + generator_loss(variant.model, b) for a, b in zip(losses, maps, strict=True)]
    for loss in losses:
        loss.backward()
    networks = [(generator, plain.generator)]
    if plain.discriminator:
        networks.append((judge, plain.discriminator))
    for kits, plains in networks:
        gradients = {name: weight.grad for name, weight in plains.named_parameters()}
        largest = max(gradient.abs().max() for gradient in gradients.values())
        for name, weight in kits.named_parameters():
            difference = weight.grad - gradients[plainly(name)]
            assert difference.abs().max() < bound * largest, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spade", "pix2pixhd"])
def test_a_plain_step_is_the_kits(name: str, float64: None) -> None:
    variant = replace(VARIANTS[name], precision="float32")
    torch.manual_seed(0)
    state, plain = State.new(variant), Plain.new(variant)
    plain.generator.load_state_dict(renamed(state.generator))
    if plain.discriminator:
        plain.discriminator.load_state_dict(renamed(state.discriminator))
    sample = Sample(torch.rand(2, 2, 64, 64), torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64))
    ours, theirs = TrainStep(variant, state, ProcessGroup())(sample), plain.step(*sample)
    assert ours == pytest.approx(theirs, rel=1e-6)
