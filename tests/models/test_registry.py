from dataclasses import replace

import pytest
import torch
from torch import nn

from kit.errors import InputError
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.registry import MODELS, build_discriminator, build_generator
from kit.variants import P2PHD1, SPADE1, VARIANTS, Variant

SMALL = replace(SPADE1, width=1, discriminator_width=1)


def norms(network: nn.Module) -> set[type[nn.Module]]:
    kinds = (nn.BatchNorm2d, nn.InstanceNorm2d, nn.SyncBatchNorm)
    return {type(module) for module in network.modules() if isinstance(module, kinds)}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_variant_draws_and_judges(variant: Variant) -> None:
    variant = replace(variant, width=1, discriminator_width=1)
    sar = torch.rand(2, 2, 64, 64) * 2 - 1
    rgb = build_generator(variant)(sar)
    assert rgb.shape == (2, 3, 64, 64) and rgb.abs().max() <= 1
    assert [scale.shape[0] for scale in build_discriminator(variant)(sar, rgb)] == [2, 2]


def test_the_settings_of_a_variant_arrive() -> None:
    assert set(MODELS) >= {"spade", "pix2pixhd"}
    assert build_generator(replace(SMALL, width=2, depth="most")).up_4.conv_0.in_channels == 2
    assert norms(build_generator(SMALL)) == {nn.BatchNorm2d}
    assert norms(build_generator(replace(SMALL, norm="instance"))) == {InstanceNorm}
    small = replace(P2PHD1, width=1)
    assert norms(build_generator(small)) == {InstanceNorm}
    assert norms(build_generator(replace(small, norm="batch"))) == {nn.BatchNorm2d}
    discriminator = build_discriminator(replace(SMALL, discriminator_width=3))
    assert discriminator.kind == "spade" and discriminator.scales[0][0].out_channels == 3
    assert build_discriminator(small).kind == "pix2pixhd"


def test_statistics_are_shared_in_a_process_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = build_generator(SMALL).state_dict()
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    assert norms(build_generator(SMALL)) == {nn.BatchNorm2d}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    shared = build_generator(SMALL)
    assert norms(shared) == {nn.SyncBatchNorm}
    assert norms(build_generator(replace(P2PHD1, width=1, norm="sync_batch"))) == {nn.SyncBatchNorm}
    assert norms(build_generator(replace(SMALL, norm="batch"))) == {nn.BatchNorm2d}
    assert shared.state_dict().keys() == alone.keys()


def test_a_depth_that_means_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"p2phd1: depth is 'more'"):
        build_generator(replace(P2PHD1, depth="more"))
