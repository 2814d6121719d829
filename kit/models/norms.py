"""Instance norm that is fast where a batch lies channels last on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn


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
    """The same norm, its sums over pixels as products with a row of ones, which are fastest."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, features: Tensor, eps: float) -> Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        pixels = _pixels(features)
        centred = pixels - _mean(pixels)
        scale = (_mean(centred.square()) + eps).rsqrt()
        ctx.save_for_backward(centred, scale)
        normed = torch.empty_like(features)
        torch.mul(centred, scale, out=_pixels(normed))
        return normed

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        centred, scale = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        pixels = _pixels(gradient)
        along = _mean(pixels * centred) * scale.square()
        result = torch.empty_like(gradient)
        torch.sub(pixels, _mean(pixels), out=_pixels(result))
        _pixels(result).addcmul_(centred, along, value=-1).mul_(scale)
        return result, None


def _pixels(features: Tensor) -> Tensor:
    """[B, C, h, w], channels last, as the same memory in the form [B, h w, C]."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _mean(pixels: Tensor) -> Tensor:
    """The mean [B, 1, C] of each picture's pixels [B, N, C]."""
    batch, count, _ = pixels.shape
    return pixels.new_full((1, 1, 1), 1 / count).expand(batch, 1, count) @ pixels
