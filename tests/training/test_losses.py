import pytest
import torch

from kit.training.losses import discriminator_loss, generator_loss, l1
from kit.variants import Model

pytestmark = pytest.mark.numerical

TWOS = [torch.full((1, 1, 4, 4), 2.0)]
BORED = [torch.full((1, 1, 4, 4), -50.0)]
SURE = [torch.full((1, 1, 4, 4), 50.0)]


def test_hinge_has_the_published_values() -> None:
    # mmagic's test of its GAN losses: weight 2, maps of 2.
    assert 2 * generator_loss("spade", TWOS) == -4.0
    assert discriminator_loss("spade", BORED, TWOS) == 0.0
    assert discriminator_loss("spade", TWOS, SURE) == 3.0


def test_least_squares_has_the_published_values() -> None:
    zeros, ones = [torch.zeros(1, 1, 4, 4)], [torch.ones(1, 1, 4, 4)]
    assert 2 * generator_loss("pix2pixhd", TWOS) == 2.0
    assert discriminator_loss("pix2pixhd", zeros, TWOS) == 1.0 * 0.5
    assert discriminator_loss("pix2pixhd", TWOS, ones) == 4.0 * 0.5


def test_hinge_averages_scales_and_least_squares_adds_them() -> None:
    fake = [torch.full((1, 1, 5, 5), 0.5), torch.full((1, 1, 3, 3), -0.5)]
    real = [torch.full((1, 1, 5, 5), 0.25), torch.full((1, 1, 3, 3), 0.75)]
    assert generator_loss("spade", fake) == pytest.approx((-0.5 + 0.5) / 2)
    assert discriminator_loss("spade", fake, real) == pytest.approx(
        (1.5 + 0.5) / 2 + (0.75 + 0.25) / 2
    )
    assert generator_loss("pix2pixhd", fake) == pytest.approx(0.25 + 2.25)
    expected = ((0.25 + 0.25) + (0.75**2 + 0.25**2)) / 2
    assert discriminator_loss("pix2pixhd", fake, real) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["spade", "pix2pixhd"])
def test_a_better_judge_costs_less_and_a_fooled_one_rewards(kind: Model) -> None:
    low, high = [torch.tensor([-0.9])], [torch.tensor([0.9])]
    assert discriminator_loss(kind, low, high) < discriminator_loss(kind, high, low)
    assert generator_loss(kind, high) < generator_loss(kind, low)


def test_l1_counts_masked_in_pixels_and_channels_alone() -> None:
    prediction = torch.rand(2, 3, 8, 8)
    target = torch.rand(2, 3, 8, 8)
    mask = (torch.rand(2, 1, 8, 8) > 0.3).float()
    kept = mask.bool().expand_as(prediction)
    expected = (prediction[kept] - target[kept]).abs().mean()
    assert torch.allclose(l1(prediction, target, mask), expected)
    assert torch.allclose(
        l1(prediction, target, torch.ones_like(mask)),
        torch.nn.functional.l1_loss(prediction, target),
    )


def test_l1_ignores_nan_where_the_mask_is_0() -> None:
    prediction = torch.rand(1, 3, 4, 4, requires_grad=True)
    target = torch.rand(1, 3, 4, 4)
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 0, 0] = 0
    target[..., 0, 0] = torch.nan
    loss = l1(prediction, target, mask)
    loss.backward()
    assert prediction.grad is not None
    assert torch.isfinite(loss)
    assert torch.equal(prediction.grad[..., 0, 0], torch.zeros(1, 3))
    assert torch.allclose(prediction.grad[..., 1:, 1:].abs(), torch.tensor(1 / 45))


def test_l1_of_nothing_is_0_and_moves_nothing() -> None:
    prediction = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = l1(prediction, torch.full((1, 3, 4, 4), torch.nan), torch.zeros(1, 1, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None and not prediction.grad.any()
