import pytest
import torch

from kit.training.losses import discriminator_loss, generator_loss, pixel_loss
from kit.variants.settings import Model, PixelLoss

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
    assert torch.allclose(pixel_loss(prediction, target, mask), expected)
    assert torch.allclose(
        pixel_loss(prediction, target, torch.ones_like(mask)),
        torch.nn.functional.l1_loss(prediction, target),
    )


def test_l1_ignores_nan_where_the_mask_is_0() -> None:
    prediction = torch.rand(1, 3, 4, 4, requires_grad=True)
    target = torch.rand(1, 3, 4, 4)
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 0, 0] = 0
    target[..., 0, 0] = torch.nan
    loss = pixel_loss(prediction, target, mask)
    loss.backward()
    assert prediction.grad is not None
    assert torch.isfinite(loss)
    assert torch.equal(prediction.grad[..., 0, 0], torch.zeros(1, 3))
    assert torch.allclose(prediction.grad[..., 1:, 1:].abs(), torch.tensor(1 / 45))


def test_l1_of_nothing_is_0_and_moves_nothing() -> None:
    prediction = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = pixel_loss(prediction, torch.full((1, 3, 4, 4), torch.nan), torch.zeros(1, 1, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None and not prediction.grad.any()


KINDS: tuple[PixelLoss, ...] = ("l1", "charbonnier", "mse")


@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_loss_is_0_for_the_truth_and_of_valid_pixels_alone(kind: PixelLoss) -> None:
    target = torch.rand(2, 3, 8, 8)
    prediction = target.clone().requires_grad_()
    mask = torch.ones(2, 1, 8, 8)
    mask[0, :, 2] = 0
    spoilt = target.clone()
    spoilt[0, :, 2] = torch.nan
    loss = pixel_loss(prediction, spoilt, mask, kind)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert prediction.grad is not None and not prediction.grad.any()


def test_mse_and_charbonnier_are_their_formulas() -> None:
    prediction, target, mask = (
        torch.rand(2, 3, 8, 8),
        torch.rand(2, 3, 8, 8),
        torch.ones(2, 1, 8, 8),
    )
    error = prediction - target
    mse = torch.nn.functional.mse_loss(prediction, target)
    assert torch.allclose(pixel_loss(prediction, target, mask, "mse"), mse)
    expected = ((error**2 + 1e-6).sqrt() - 1e-3).mean()
    assert torch.allclose(pixel_loss(prediction, target, mask, "charbonnier"), expected)
    # Far from zero it is L1 but for that constant.
    far, near = torch.full((1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2)
    found = pixel_loss(far, near, torch.ones(1, 1, 2, 2), "charbonnier")
    assert found.item() == pytest.approx(0.5 - 1e-3, abs=1e-5)
