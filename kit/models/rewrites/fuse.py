"""A trained generator rewritten for inference, and a check that it still computes the same.

In: a generator with its spectral norms folded, as `kit.runs.weights` loads it. Out: one with fewer
operations. Batch norms are fused into the layers before or after them, SPADE's learnt shortcuts
into what its norms add, biases that an instance norm cancels are gone, and NAFNet's gains are part
of its convolutions. Engines are built from it.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kit.errors import CheckError
from kit.models.layers.layer_norm import LayerNorm, PlainLayerNorm
from kit.models.nafnet import NafBlock, Scale
from kit.models.pix2pixhd import GlobalGenerator, ResidualBlock
from kit.models.rewrites.modulation import Modulation
from kit.models.spade import SpadeBlock
from kit.models.unet import UNet

# What float32 may do to a tile that two networks are compared on, outputs being in [-1, 1].
# Instance norms magnify rounding: up to 5e-4 was seen on noise, and 0.5 to 1 on constant tiles.
_DEFINED = 1e-3
# The largest differences that rounding explains: float64 rounds 2^29 times finer than float32; in
# float32, beyond twice what it does to the network as it was.
FLOAT64 = _DEFINED * 2**-29
FLOAT32 = 1e-5
_SIDE = 64  # pixels along a side of what the two are compared on

_Convolution = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def for_inference(generator: nn.Module, name: str, channels: int = 2) -> nn.Module:
    """A rewritten copy of `generator`, in evaluation mode and without gradients.

    Its outputs are compared with those of `generator`, in float32 and in float64: on noise, a
    constant tile, a tile without a measurement, and a speckled ramp with a step, as at a shore.
    Tiles on which `generator` itself differs between the two are left out: instance norms amplify
    the rounding of a constant tile to a whole image.

    Args:
        generator: as it was trained.
        name: what an error calls it.
        channels: planes of its input.

    Raises:
        CheckError: the copy does not compute the same, or no tile shows whether it does; nothing
            should be built from it.
    """
    tiles = _tiles(channels)
    exact = copy.deepcopy(generator).eval().double()
    network = copy.deepcopy(generator).eval()
    expected, rounded = exact(tiles.double()), network(tiles)
    rounding = _apart(rounded, expected)
    defined = rounding < _DEFINED
    if not defined.any():
        raise CheckError(
            f"{name}'s outputs in float32 and float64 differ by {rounding.min():.1e} or "
            "more, too much to check that it was rewritten correctly\n"
            "  predict with --backend eager"
        )
    found = _apart(_rewrite(exact)(tiles.double()), expected)
    _check(name, found[defined].max(), FLOAT64, "float64")
    found = _apart(_rewrite(network)(tiles), expected) - 2 * rounding
    _check(name, found[defined].max(), FLOAT32, "float32")
    return network


def _tiles(channels: int) -> Tensor:
    noise = torch.rand(channels, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    noise = noise * 2 - 1
    ramp = torch.linspace(-1, 1, _SIDE).expand_as(noise)
    shore = torch.where(ramp > 0.2, ramp, torch.full_like(ramp, -0.9)) * 0.9 + noise * 0.1
    return torch.stack([noise, torch.full_like(noise, 0.3), torch.full_like(noise, -1), shore])


def _apart(outputs: Tensor, expected: Tensor) -> Tensor:
    """The largest difference of each tile."""
    return (outputs - expected).abs().amax(dim=(1, 2, 3))


def _check(name: str, found: Tensor, allowed: float, kind: str) -> None:
    if not found <= allowed:
        raise CheckError(
            f"{name} rewritten for inference differs by {found:.1e} in {kind}, more than "
            f"{allowed:.0e}\n  predict with --backend eager, and report this as a bug"
        )


def _rewrite(network: nn.Module) -> nn.Module:
    for block in (module for module in network.modules() if isinstance(module, SpadeBlock)):
        if isinstance(block.norm_1.param_free_norm, nn.InstanceNorm2d):
            block.conv_0.register_parameter("bias", None)
        _modulate(block)
    for naf_block in (module for module in network.modules() if isinstance(module, NafBlock)):
        _absorb_gains(naf_block)
    if isinstance(network, GlobalGenerator):
        network.model = _rewritten(network.model)
    if isinstance(network, UNet):
        for blocks in (network.encoders, network.decoders):
            for number, layers in enumerate(blocks):
                assert isinstance(layers, nn.Sequential)
                blocks[number] = _rewritten(layers)
    return network.requires_grad_(False)


def _modulate(block: SpadeBlock) -> None:
    made = {name: Modulation(getattr(block, name)) for name in ("norm_0", "norm_1")}
    if block.learns_shortcut:
        made["norm_s"] = Modulation(block.norm_s, block.conv_s)
        block.conv_s = nn.Identity()
    for name, modulation in made.items():
        setattr(block, name, modulation)


def _rewritten(layers: nn.Sequential) -> nn.Sequential:
    """Convolutions followed by a norm take it in, or lose the bias that it removes."""
    kept: list[nn.Module] = []
    for layer in layers:
        before = kept[-1] if kept else None
        if isinstance(layer, ResidualBlock):
            layer.conv_block = _rewritten(layer.conv_block)
        if isinstance(layer, nn.BatchNorm2d):
            assert isinstance(before, _Convolution)
            kept[-1] = _absorbed(before, layer)
            continue
        if isinstance(layer, nn.InstanceNorm2d):
            assert isinstance(before, _Convolution)
            before.register_parameter("bias", None)
        kept.append(layer)
    return nn.Sequential(*kept)


def _absorbed(convolution: _Convolution, norm: nn.BatchNorm2d) -> nn.Module:
    """The convolution with the batch norm that follows it, computed in float64."""
    kind = convolution.weight.dtype
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    fused = fuse_conv_bn_eval(convolution.double(), norm.double(), transpose=transposed)
    return fused.to(kind)


def _absorb_gains(block: NafBlock) -> None:
    """Leave norms without gain and bias, and outputs of convolutions as they are added."""
    convolution: nn.Conv2d
    for name, convolution in (("norm_1", block.conv_1), ("norm_2", block.conv_4)):
        _absorb_gain_before(convolution, getattr(block, name))
        setattr(block, name, PlainLayerNorm())
    for name, convolution in (("scale_1", block.conv_3), ("scale_2", block.conv_5)):
        _absorb_scale_after(convolution, getattr(block, name))
        setattr(block, name, nn.Identity())


@torch.no_grad()
def _absorb_gain_before(convolution: nn.Conv2d, norm: LayerNorm) -> None:
    """Give a convolution of single pixels the gain and bias of the layer norm before it."""
    assert convolution.bias is not None
    weight = convolution.weight.double()
    shift = weight.flatten(1) @ norm.bias.double()
    convolution.bias.copy_(convolution.bias.double() + shift)
    convolution.weight.copy_(weight * norm.weight.double()[:, None, None])


@torch.no_grad()
def _absorb_scale_after(convolution: nn.Conv2d, scale: Scale) -> None:
    """Give a convolution the scale of its outputs."""
    assert convolution.bias is not None
    factor = scale.weight.double()
    convolution.weight.copy_(convolution.weight.double() * factor[..., None])
    convolution.bias.copy_(convolution.bias.double() * factor.flatten())
