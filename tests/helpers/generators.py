"""Generators that look trained, without a training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from kit.models.layers.layer_norm import LayerNorm
from kit.models.nafnet import Scale
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import fold
from kit.models.spade import SpadeGenerator
from kit.runs.weights import Weights, load_weights, save_weights
from kit.variants.registry import find_variant
from kit.variants.settings import Variant

NETWORKS = {
    "spade": ("spade2", []),
    "spade-instance": ("spade2", ["norm=instance"]),
    "spade-most": ("spade2", ["depth=most"]),
    "pix2pixhd": ("p2phd1", []),
    "pix2pixhd-batch": ("p2phd1", ["norm=batch"]),
    "nafnet": ("nafnet1", []),
    "unet": ("unet1", []),
    "spade-means": ("spade5", ["boxes=[5, 15]"]),
}


def trained_like(name: str, width: int = 4) -> nn.Module:
    """A generator whose weights, biases and statistics are nowhere zero."""
    variant, settings = NETWORKS[name]
    torch.manual_seed(0)
    # torch's rule starts with an estimate as good as training leaves one.
    settings = [*settings, f"width={width}", "spectral_norm=torch"]
    return enlivened(find_variant(variant, settings))


def enlivened(variant: Variant) -> nn.Module:
    """The generator of a variant, its weights, biases and statistics nowhere zero."""
    generator = build_generator(variant)
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, Scale | LayerNorm):
            for weight in module.parameters():
                nn.init.normal_(weight, std=0.5)
    if isinstance(generator, SpadeGenerator):
        nn.init.normal_(generator.conv_img.weight, std=0.3)
    return generator.eval()


def saved(folder: Path, name: str, settings: Sequence[str]) -> Weights:
    """Weights in `folder`/runs of such a generator, 4 wide."""
    # The published rule of spectral norms needs a training to have outputs of a usual size.
    variant = find_variant(name, [*settings, "width=4", "spectral_norm=torch"])
    torch.manual_seed(0)
    path = folder / "runs" / name / "weights.safetensors"
    save_weights(path, fold(enlivened(variant)), variant, {"mean_color": [0.2, 0.3, 0.1]})
    return load_weights(path)
