"""A generator that computes in half precision where that keeps its accuracy.

In: a generator as `kit.models.rewrites.fuse.for_inference` rewrites it. Out: one whose weights and
features are of another type, and with the casts for what stays in float32: SAR, RGB, the last
convolution with its tanh, means over pixels and the statistics of norms. Compilers that take
precision from the types in a graph, as TensorRT does, need no other setting.
"""

import copy

import torch
from torch import Tensor, nn

from kit.models.layers.layer_norm import PlainLayerNorm
from kit.models.layers.means import BoxMeans, RadarResize

HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}
"""The types of the half precisions."""


class InHalf(nn.Module):
    """A copy of `generator` in `kind`, float16 or bfloat16."""

    def __init__(self, generator: nn.Module, kind: torch.dtype) -> None:
        super().__init__()
        self.kind = kind
        self.network = copy.deepcopy(generator).to(kind)
        *_, last = (n for n, module in generator.named_modules() if isinstance(module, nn.Conv2d))
        # Its weights as they were, not rounded to half precision and back.
        output = copy.deepcopy(generator.get_submodule(last))
        self.network.set_submodule(last, _InFloat32(output, torch.float32))
        for name, module in list(generator.named_modules()):
            if _averages(module):
                self.network.set_submodule(name, _InFloat32(copy.deepcopy(module), kind))

    def forward(self, sar: Tensor) -> Tensor:
        """Inputs [B, C, H, W] to RGB [B, 3, H, W], both float32 in [-1, 1]."""
        rgb: Tensor = self.network(sar.to(self.kind))
        return rgb


class _InFloat32(nn.Module):
    """`layer`, which runs in float32, and its output in `kind`."""

    def __init__(self, layer: nn.Module, kind: torch.dtype) -> None:
        super().__init__()
        self.layer = layer
        self.kind = kind

    def forward(self, features: Tensor, *rest: object) -> Tensor:
        """Features of any type to features of type `kind`."""
        result: Tensor = self.layer(features.float(), *rest)
        return result.to(self.kind)


def _averages(module: nn.Module) -> bool:
    """Whether it sums over so many values that a half precision would lose their differences."""
    resizes = isinstance(module, RadarResize) and module.how == "mean"
    boxes = isinstance(module, BoxMeans) and bool(module.sides)
    norms = isinstance(module, nn.InstanceNorm2d | PlainLayerNorm | nn.AdaptiveAvgPool2d)
    return norms or boxes or resizes
