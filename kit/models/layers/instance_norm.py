"""Instance norm that is fast where a batch lies channels last on a CPU."""

from ctypes import CDLL
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kit.native import load, native


class InstanceNorm(nn.InstanceNorm2d):
    """torch's instance norm without gain, bias and running statistics."""

    def __init__(self, channels: int, affine: bool = False) -> None:
        assert not affine
        super().__init__(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape, each map at mean 0, variance 1.

        Raises:
            ValueError: maps of one pixel, in training.
        """
        if not self.training or features.is_cuda or features[0, 0].numel() == 1:
            return super().forward(features)
        # torch's own takes planes alone, so it copies features that lie channels last, and gives
        # them back as planes. And its gradient is wrong for one picture where the gradient that it
        # is given lies channels last (torch 2.13, on a CPU).
        if len(features) > 1 and not features.is_contiguous(memory_format=torch.channels_last):
            return super().forward(features)
        normed: Tensor = _ChannelsLast.apply(features, self.eps)  # type: ignore[no-untyped-call]
        return normed


class _ChannelsLast(torch.autograd.Function):
    """The same norm of features that lie channels last, or are copied so."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, features: Tensor, eps: float) -> Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        normed, mean, scale = norm(features, eps)
        ctx.save_for_backward(features, mean, scale)
        return normed

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return norm_gradient(gradient, *ctx.saved_tensors), None


def backend() -> tuple[str, str]:
    """Name of what norms float32 features in training on a CPU, and why."""
    return native("kit_norms", "reference")


def norm(features: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B, C, h, w], channels last, normed; their mean and 1 / sqrt(variance + eps).

    The latter two are [B, 1, C]. By the compiled core where it is and the features are float32.
    """
    if not (core := _core(features)):
        return reference_norm(features, eps)
    batch, channels, height, width = features.shape
    normed = torch.empty_like(features)
    mean, scale = features.new_empty(2, batch, 1, channels)
    core.kit_instance_norm(
        features.data_ptr(), batch, height * width, channels, eps,
        mean.data_ptr(), scale.data_ptr(), normed.data_ptr(),
    )  # fmt: skip
    return normed, mean, scale


def norm_gradient(gradient: Tensor, features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """The gradient by features [B, C, h, w], channels last, from that by the normed ones."""
    if not (core := _core(features)):
        return reference_gradient(gradient, features, mean, scale)
    batch, channels, height, width = features.shape
    result = torch.empty_like(features)
    core.kit_instance_norm_gradient(
        gradient.data_ptr(), features.data_ptr(), batch, height * width, channels,
        mean.data_ptr(), scale.data_ptr(), result.data_ptr(),
    )  # fmt: skip
    return result


def reference_norm(features: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """`norm` in torch; its sums over pixels are products with a row of ones, which are fastest."""
    pixels = _pixels(features)
    origin = pixels[:, :1]  # around it a constant has no variance
    mean = origin + _mean(pixels - origin)
    centred = pixels - mean
    scale = (_mean(centred.square()) + eps).rsqrt()
    normed = torch.empty_like(features)
    torch.mul(centred, scale, out=_pixels(normed))
    return normed, mean, scale


def reference_gradient(gradient: Tensor, features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """`norm_gradient` in torch."""
    pixels = _pixels(gradient)
    centred = _pixels(features) - mean
    along = _mean(pixels * centred) * scale.square()
    result = torch.empty_like(gradient)
    torch.sub(pixels, _mean(pixels), out=_pixels(result))
    _pixels(result).addcmul_(centred, along, value=-1).mul_(scale)
    return result


def _core(features: Tensor) -> CDLL | None:
    if features.dtype != torch.float32 or torch.compiler.is_compiling():
        return None
    return load("kit_norms")[0]


def _pixels(features: Tensor) -> Tensor:
    """[B, C, h, w], channels last, as the same memory in the form [B, h w, C]."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _mean(pixels: Tensor) -> Tensor:
    """The mean [B, 1, C] of each picture's pixels [B, N, C]."""
    batch, count, _ = pixels.shape
    return pixels.new_full((1, 1, 1), 1 / count).expand(batch, 1, count) @ pixels
