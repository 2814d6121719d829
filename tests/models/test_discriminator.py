from typing import Literal

import pytest
import torch
from torch import nn

from kit.models.discriminator import Discriminator

pytestmark = pytest.mark.numerical

KINDS: tuple[Literal["spade", "pix2pixhd"], ...] = ("spade", "pix2pixhd")


@pytest.mark.parametrize("kind", KINDS)
def test_maps_have_the_published_sizes(kind: Literal["spade", "pix2pixhd"]) -> None:
    discriminator = Discriminator(kind, width=2)
    sizes: list[int] = []
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, out: sizes.append(out.shape[-1]))
    maps = discriminator(torch.rand(1, 2, 256, 256), torch.rand(1, 3, 256, 256))
    assert sizes == [129, 65, 33, 34, 35, 65, 33, 17, 18, 19]
    assert [tuple(scale.shape) for scale in maps] == [(1, 1, 35, 35), (1, 1, 19, 19)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_scale_sees_the_image_averaged(
    kind: Literal["spade", "pix2pixhd"], float64: None
) -> None:
    discriminator = Discriminator(kind, width=2).eval()
    sar, rgb = torch.rand(1, 2, 64, 64), torch.rand(1, 3, 64, 64)
    image = torch.cat([sar, rgb], 1)
    # A 3 x 3 mean at stride 2 that leaves the border out of the count.
    window = torch.ones(5, 1, 3, 3)
    summed, counted = (
        nn.functional.conv2d(x, window, stride=2, padding=1, groups=5)
        for x in (image, torch.ones_like(image))
    )
    with torch.no_grad():
        fine, coarse = discriminator(sar, rgb)
        assert torch.allclose(fine, discriminator.scales[0](image), rtol=0, atol=1e-12)
        averaged = summed / counted
        assert torch.allclose(coarse, discriminator.scales[1](averaged), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_both_the_sar_and_the_picture_are_judged(kind: Literal["spade", "pix2pixhd"]) -> None:
    sar = torch.rand(1, 2, 48, 48, requires_grad=True)
    rgb = torch.rand(1, 3, 48, 48, requires_grad=True)
    discriminator = Discriminator(kind, width=2)
    sum(scale.sum() for scale in discriminator(sar, rgb)).backward()
    assert sar.grad is not None and sar.grad.any()
    assert rgb.grad is not None and rgb.grad.any()
    idle = [n for n, w in discriminator.named_parameters() if w.grad is None or not w.grad.any()]
    assert all(name.endswith("bias") for name in idle)


def test_training_starts_as_published() -> None:
    torch.manual_seed(0)
    spade = Discriminator("spade", 16).scales[0]
    assert spade[0].weight.std().item() == pytest.approx(0.02 * (2 / (16 * 21)) ** 0.5, rel=0.1)
    original = spade[5].parametrizations.weight.original
    assert original.std().item() == pytest.approx((16 * 32) ** -0.5 / 3**0.5, rel=0.05)
    assert spade[5].bias is None and not spade[0].bias.any()
    pix2pixhd = Discriminator("pix2pixhd", 16).scales[0]
    assert pix2pixhd[5].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert pix2pixhd[5].bias.any()


@pytest.mark.parametrize("size", [(3, 3), (17, 40)])
def test_small_and_odd_pictures_are_judged(size: tuple[int, int]) -> None:
    for kind in KINDS:
        maps = Discriminator(kind, width=1)(torch.rand(1, 2, *size), torch.rand(1, 3, *size))
        assert len(maps) == 2 and all(scale.isfinite().all() for scale in maps)


def test_no_map_is_wider_than_512_channels() -> None:
    with torch.device("meta"):
        scale = Discriminator("pix2pixhd", 128).scales[0]
    assert [scale[index].out_channels for index in (0, 2, 5, 8, 11)] == [128, 256, 512, 512, 1]
