"""The networks of a variant: a generator predicts RGB from SAR, a discriminator rates the two.

Every generator maps inputs [B, C, H, W] in [-1, 1], C being the variant's `input_channels`, to RGB
[B, 3, H, W] in [-1, 1], at any size. Every discriminator takes both and returns a list of maps,
one per scale. Their initial weights depend on `torch.manual_seed` alone.
"""

from collections.abc import Callable

import torch
from torch import distributed, nn

from kit.errors import InputError
from kit.models.discriminator import Discriminator
from kit.models.layers.instance_norm import InstanceNorm
from kit.models.pix2pixhd import GlobalGenerator
from kit.models.spade import SpadeGenerator
from kit.variants import Variant


def _spade(variant: Variant) -> nn.Module:
    norm, rule = _norm(variant), variant.spectral_norm
    return SpadeGenerator(variant.width, variant.depth, norm, rule, variant.input_channels)


def _pix2pixhd(variant: Variant) -> nn.Module:
    if variant.depth != "normal":
        raise InputError(
            variant.name, f"depth is {variant.depth!r}", remedy="it must be normal for pix2pixhd"
        )
    return GlobalGenerator(variant.width, _norm(variant), variant.input_channels)


MODELS: dict[str, Callable[[Variant], nn.Module]] = {"spade": _spade, "pix2pixhd": _pix2pixhd}


def build_generator(variant: Variant) -> nn.Module:
    """The untrained generator of `variant`.

    `norm="sync_batch"` shares its statistics within a running process group on CUDA, the only
    device for which torch has such a norm; elsewhere it is batch norm. The weights have the same
    names either way.

    Raises:
        InputError: a depth is set for a model that has only one.
    """
    return MODELS[variant.model](variant)


def build_discriminator(variant: Variant) -> nn.Module:
    """The untrained discriminator that goes with the generator of `variant`."""
    width, rule = variant.discriminator_width, variant.spectral_norm
    return Discriminator(variant.model, width, rule, variant.input_channels)


def _norm(variant: Variant) -> type[nn.Module]:
    if variant.norm == "instance":
        return InstanceNorm
    in_group = distributed.is_available() and distributed.is_initialized()
    if variant.norm == "sync_batch" and in_group and torch.cuda.is_available():
        return nn.SyncBatchNorm
    return nn.BatchNorm2d
