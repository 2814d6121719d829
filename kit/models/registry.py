"""The networks of a variant: a generator predicts RGB from SAR, a discriminator rates the two.

Every generator maps inputs [B, C, H, W] in [-1, 1], C being the variant's `input_channels`, to RGB
[B, 3, H, W] in [-1, 1], at any size. Every discriminator takes both and returns a list of maps,
one per scale. Their initial weights depend on `torch.manual_seed` alone.
"""

from collections.abc import Callable

from torch import distributed, nn

from kit.errors import InputError
from kit.models.discriminator import Discriminator
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.layers.sync_batch_norm import SyncBatchNorm
from kit.models.nafnet import NafNet
from kit.models.pix2pixhd import GlobalGenerator
from kit.models.prior import Prior
from kit.models.spade import SpadeGenerator
from kit.models.trees import BoostedTrees
from kit.models.unet import UNet
from kit.variants.settings import Variant


def _spade(variant: Variant) -> nn.Module:
    _require(variant, output="tanh")
    return SpadeGenerator(
        variant.width,
        variant.depth,
        _norm(variant),
        variant.spectral_norm,
        variant.input_channels,
        variant.boxes,
        variant.radar_resize,
    )


def _pix2pixhd(variant: Variant) -> nn.Module:
    _require(variant, depth="normal", radar_resize="nearest", output="tanh")
    return GlobalGenerator(variant.width, _norm(variant), variant.input_channels, variant.boxes)


def _nafnet(variant: Variant) -> nn.Module:
    _require(variant, depth="normal", radar_resize="nearest", norm="layer")
    return NafNet(variant.width, variant.input_channels, variant.boxes, variant.output)


def _unet(variant: Variant) -> nn.Module:
    _require(variant, depth="normal", radar_resize="nearest")
    inputs = variant.input_channels
    return UNet(variant.width, _norm(variant), inputs, variant.boxes, variant.output)


def _trees(variant: Variant) -> nn.Module:
    return BoostedTrees(
        variant.input_channels,
        variant.boxes,
        variant.trees,
        variant.leaves,
        variant.tile_statistics,
    )


MODELS: dict[str, Callable[[Variant], nn.Module]] = {
    "spade": _spade,
    "pix2pixhd": _pix2pixhd,
    "nafnet": _nafnet,
    "unet": _unet,
    "trees": _trees,
    "prior": lambda variant: Prior(),
}


def build_generator(variant: Variant) -> nn.Module:
    """The untrained generator of `variant`.

    `norm="sync_batch"` shares its statistics within a process group of several ranks; elsewhere it
    is batch norm. The weights have the same names either way.

    Raises:
        InputError: a field has a value that the model does not have.
    """
    return MODELS[variant.model](variant)


def build_discriminator(variant: Variant) -> nn.Module:
    """The untrained discriminator that goes with the generator of `variant`."""
    width, rule = variant.discriminator_width, variant.spectral_norm
    return Discriminator(variant.model, width, rule, variant.input_channels)


def _norm(variant: Variant) -> type[nn.Module]:
    if variant.norm == "layer":
        raise _refused(variant, "norm", "batch, sync_batch or instance")
    if variant.norm == "instance":
        return InstanceNorm
    in_group = distributed.is_available() and distributed.is_initialized()
    if variant.norm == "sync_batch" and in_group and distributed.get_world_size() > 1:
        return SyncBatchNorm
    return nn.BatchNorm2d


def _require(variant: Variant, **only: str) -> None:
    """Refuse fields that the model has with one value alone."""
    for field, value in only.items():
        if getattr(variant, field) != value:
            raise _refused(variant, field, value)


def _refused(variant: Variant, field: str, allowed: str) -> InputError:
    problem = f"{field} is {getattr(variant, field)!r}"
    return InputError(variant.name, problem, remedy=f"it must be {allowed} for {variant.model}")
