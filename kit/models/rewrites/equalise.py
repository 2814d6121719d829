"""Channels brought to alike ranges, so that eight bits with one range for all hold each of them.

In: a generator as `kit.models.rewrites.fuse.for_inference` rewrites it, and tiles like the later
ones. Out: one that computes the same. A leaky ReLU lets positive factors pass, so a channel of what
SPADE's convolutions read can be divided by any number where its norm is modulated, and the weights
that read it multiplied. After Nagel et al., "Data-Free Quantization Through Weight Equalization and
Bias Correction" (ICCV 2019), with ranges of activations as in SmoothQuant (Xiao et al., ICML 2023).
"""

import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from kit.models.rewrites.modulation import Modulation
from kit.models.spade import SpadeBlock

_Ranges = dict[nn.Conv2d, Tensor]


@torch.no_grad()
def equalised(generator: nn.Module, tiles: Tensor) -> nn.Module:
    """A copy in which inputs and weights of SPADE's own convolutions share their ranges evenly.

    Args:
        generator: other networks than SPADE are copied as they are.
        tiles: inputs [N, C, H, W] in [-1, 1] that ranges are those of.
    """
    network = copy.deepcopy(generator)
    writers = {
        reader: writers
        for block in network.modules()
        if isinstance(block, SpadeBlock)
        for reader, writers in _channels(block)
    }
    ranges: _Ranges = {}
    hooks = [each.register_forward_pre_hook(partial(_widen, ranges)) for each in writers]
    for tile in tiles if writers else ():
        network(tile[None])
    for hook in hooks:
        hook.remove()
    for reader, largest in ranges.items():
        _share(reader, largest, writers[reader])
    return network


def _channels(block: SpadeBlock) -> Iterator[tuple[nn.Conv2d, tuple[nn.Conv2d, ...]]]:
    """Each convolution of a block that reads modulated features, and those that modulate them."""
    for norm, after in (("norm_0", "conv_0"), ("norm_1", "conv_1"), ("norm_s", "")):
        modulation = getattr(block, norm, None)
        if not isinstance(modulation, Modulation):
            continue
        reader = getattr(block, after) if after else modulation.projection
        assert isinstance(reader, nn.Conv2d)
        both = modulation.factor, modulation.summand
        # What is added in a shortcut is not read by its convolution.
        yield reader, both if after else both[:1]


def _widen(ranges: _Ranges, reader: nn.Conv2d, inputs: tuple[Tensor]) -> None:
    largest = inputs[0].abs().amax(dim=(0, 2, 3))
    ranges[reader] = torch.maximum(ranges.get(reader, largest), largest)


def _share(reader: nn.Conv2d, largest: Tensor, writers: tuple[nn.Conv2d, ...]) -> None:
    """Make the range of each of the channels that `reader` has as inputs that of its weights."""
    weights = reader.weight.abs().amax(dim=(0, 2, 3))
    used = (largest > 0) & (weights > 0)
    factors = torch.where(used, (largest / weights).sqrt(), 1)
    reader.weight.mul_(factors[:, None, None])
    for writer in writers:
        assert writer.bias is not None
        writer.weight.div_(factors[:, None, None, None])
        writer.bias.div_(factors)
