"""Batch norm with the statistics of the batches of all ranks together.

In: features [B, C, h, w], as many on every rank. Out: the same normalised, as one process's batch
norm normalises the joined batch. torch's own waits for the device three times in each, breaks the
graph of torch.compile, and runs on CUDA alone.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable


class SyncBatchNorm(nn.BatchNorm2d):
    """torch's batch norm, whose statistics in training are those of all ranks.

    Forward and backward each take one all-reduce. In evaluation it is torch's own.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] to features of the same shape."""
        if not self.training:
            return super().forward(features)
        mean, variance = _statistics(features.detach())
        self._track(mean, variance, features.numel() // features.shape[1])
        normed: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            features, self.weight, self.bias, mean, variance, self.eps
        )
        return normed

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, pixels: int) -> None:
        """Move the running statistics, in which the variance is unbiased."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        pixels *= distributed.get_world_size()
        for running, value in (
            (self.running_mean, mean),
            (self.running_var, variance * (pixels / (pixels - 1))),
        ):
            # Without a momentum they are the mean of all batches; the count stays on the device.
            share = self.momentum or 1 / self.num_batches_tracked.to(running.dtype)
            running.lerp_(value.to(running.dtype), share)


def _statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the variance [C] of the features of all ranks.

    Each rank's own are exchanged: where the mean is large, sums of squares lose the variance.
    """
    exact = features if features.dtype == torch.float64 else features.float()
    variance, mean = torch.var_mean(exact, dim=(0, 2, 3), correction=0)
    every = mean.new_zeros(distributed.get_world_size(), 2, len(mean))
    every[distributed.get_rank()] = torch.stack([mean, variance])
    distributed.all_reduce(every)
    means, variances = every.unbind(1)
    apart, mean = torch.var_mean(means, dim=0, correction=0)
    return mean, variances.mean(0) + apart


class _Normalise(torch.autograd.Function):
    """Features to features of mean 0 and variance 1, times a gain, plus a bias."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        gain: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(features, gain, mean, variance)
        ctx.eps = eps
        return F.batch_norm(features, mean, variance, gain, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, gain, mean, variance = ctx.saved_tensors
        gains = torch.ones_like(mean) if gain is None else gain
        scale = (variance + ctx.eps).rsqrt()
        # As if mean and variance were constants; the last two are sums over this rank's pixels.
        # Where features are channels last, CUDA reads the saved statistics, in evaluation too.
        result, along, total = torch.ops.aten.native_batch_norm_backward(
            gradient, features, gains, mean, variance, mean, scale, False, ctx.eps, [True] * 3
        )
        sums = torch.stack([along, total])
        distributed.all_reduce(sums)
        pixels = distributed.get_world_size() * (features.numel() // features.shape[1])
        slope, level = (scale * gains * sums / pixels).unbind()
        wide = (1, -1, 1, 1)
        centred = (features - mean.view(wide)) * (scale * slope).view(wide)
        result = (result - level.view(wide) - centred).to(features.dtype)
        if gain is None:
            return result, None, None, None, None, None
        return result, along, total, None, None, None
