import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from kit.errors import InputError
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.layers.means import BoxMeans, RadarResize
from kit.models.layers.sync_batch_norm import SyncBatchNorm
from kit.models.registry import MODELS, build_discriminator, build_generator
from kit.variants.registry import NAFNET1, P2PHD1, SPADE1, VARIANTS
from kit.variants.settings import Variant

SMALL = replace(SPADE1, width=1, discriminator_width=1)


def norms(network: nn.Module) -> set[type[nn.Module]]:
    kinds = (nn.BatchNorm2d, nn.InstanceNorm2d)
    return {type(module) for module in network.modules() if isinstance(module, kinds)}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_variant_draws_and_judges(variant: Variant) -> None:
    variant = replace(variant, width=1, discriminator_width=1)
    sar = torch.rand(2, variant.input_channels, 64, 64) * 2 - 1
    rgb = build_generator(variant).eval()(sar)
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
    averaging = build_generator(replace(SMALL, radar_resize="mean"))
    resizes = [module for module in averaging.modules() if isinstance(module, RadarResize)]
    assert len(resizes) == 8 and {module.how for module in resizes} == {"mean"}


def test_statistics_are_shared_in_a_process_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = build_generator(SMALL).state_dict()
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 1)
    assert norms(build_generator(SMALL)) == {nn.BatchNorm2d}
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    shared = build_generator(SMALL)
    assert norms(shared) == {SyncBatchNorm}
    assert norms(build_generator(replace(P2PHD1, width=1, norm="sync_batch"))) == {SyncBatchNorm}
    assert norms(build_generator(replace(SMALL, norm="batch"))) == {nn.BatchNorm2d}
    assert shared.state_dict().keys() == alone.keys()


@pytest.mark.parametrize(
    ("variant", "problem"),
    [
        (replace(P2PHD1, depth="more"), "p2phd1: depth is 'more'\n.*must be normal for pix2pixhd"),
        (replace(P2PHD1, radar_resize="mean"), "radar_resize is 'mean'\n.*must be nearest"),
        (replace(P2PHD1, norm="layer"), "norm is 'layer'\n.*batch, sync_batch or instance"),
        (replace(SPADE1, norm="layer"), "norm is 'layer'\n.*for spade"),
        (replace(NAFNET1, norm="batch"), "nafnet1: norm is 'batch'\n.*must be layer for nafnet"),
        (replace(NAFNET1, depth="most"), "depth is 'most'"),
        (replace(NAFNET1, radar_resize="mean"), "radar_resize is 'mean'"),
    ],
)
def test_a_field_that_means_nothing_is_refused(variant: Variant, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build_generator(variant)


@pytest.mark.parametrize("variant", [SPADE1, P2PHD1, NAFNET1], ids=lambda each: each.model)
def test_box_means_are_the_first_layer_of_every_generator(variant: Variant) -> None:
    """What they add may be computed ahead of a generator without them, with the same weights."""
    variant = replace(variant, width=1)
    inside = build_generator(replace(variant, boxes=(5, 9), date=variant.norm != "instance"))
    sar = torch.rand(2, 4 if variant.norm != "instance" else 2, 64, 64) * 2 - 1
    outside = copy.deepcopy(inside)
    outside.box_means = BoxMeans(())
    with torch.no_grad():
        expected = outside.eval()(BoxMeans((5, 9))(sar))
        assert torch.equal(inside.eval()(sar), expected)
    assert inside.state_dict().keys() == build_generator(variant).state_dict().keys()
