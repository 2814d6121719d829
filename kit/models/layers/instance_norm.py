"""Instance norm that is fast on a CPU for channels-last batches."""

from ctypes import CDLL
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kit.machine.native import backend_of, load


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
        # torch's own copies channels-last features and returns contiguous ones. And for a batch of
        # one its gradient is wrong if the incoming gradient is channels last (torch 2.13, CPU).
        if len(features) > 1 and not features.is_contiguous(memory_format=torch.channels_last):
            return super().forward(features)
        normed: Tensor = _ChannelsLast.apply(features, self.eps)  # type: ignore[no-untyped-call]
        return normed


class _ChannelsLast(torch.autograd.Function):
    """The same norm of channels-last features; others are copied."""

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
    """Which implementation normalises float32 features in training on a CPU, and why."""
    return backend_of("kit_norms", "reference")


def norm(features: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B, C, h, w], channels last, normalised; their mean and 1 / sqrt(variance + eps).

    The latter two are [B, 1, C]. Computed by the compiled core if it is there and they are float32.
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
    """The gradient of features [B, C, h, w], channels last, from that of the normalised ones."""
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
    """`norm` in torch; sums over pixels are products with a row of ones, the fastest way."""
    pixels = _pixels(features)
    origin = pixels[:, :1]  # relative to it a constant has no variance
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
    """A view [B, h w, C] of [B, C, h, w], channels last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _mean(pixels: Tensor) -> Tensor:
    """The mean [B, 1, C] of each image's pixels [B, N, C]."""
    batch, count, _ = pixels.shape
    return pixels.new_full((1, 1, 1), 1 / count).expand(batch, 1, count) @ pixels
