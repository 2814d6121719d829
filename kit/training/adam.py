"""Adam over weights in the memory format that they are stored in.

torch's fused Adam on a CPU copies every channels-last gradient, and pairs elements by their place
in memory. Here it gets views whose last dimension is the innermost, so that it copies nothing and
pairs every element of a gradient with its own weight.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """torch's fused Adam, or AdamW, for `weights`.

    Args:
        weights: parameters, whose memory must not move.
        rate: the learning rate.
        betas: the decay rates of the mean gradient and of the mean squared gradient.
        weight_decay: the share of every weight that a step removes, times the learning rate, apart
            from its gradient: AdamW.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        rate: float,
        betas: tuple[float, float],
        weight_decay: float = 0.0,
    ) -> None:
        self._weights = list(weights)
        views = [_as_stored(weight.detach(), weight) for weight in self._weights]
        super().__init__(
            views,
            rate,
            betas=betas,
            weight_decay=weight_decay,
            decoupled_weight_decay=True,
            fused=True,
        )

    def step(self, skipped: Tensor | None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients of the weights; no closure, unlike torch's.

        Args:
            skipped: 1.0 where the step is not to be taken, else 0.0; [] in float32, on the device.
        """
        views = self.param_groups[0]["params"]
        for weight, view in zip(self._weights, views, strict=True):
            view.grad = (
                None if weight.grad is None else _as_stored(weight.grad, weight).contiguous()
            )
        # As a scaler of gradients sets it, for the kernel to read on the device.
        self.found_inf = skipped
        super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, whatever `set_to_none` is."""
        super().zero_grad()
        for weight in self._weights:
            weight.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The optimiser's state by `<index of the weight>/<name>`, in the shapes of the weights."""
        return {
            f"{index}/{name}": _shaped(tensor, self._weights[index])
            for index, state in self.state_dict()["state"].items()
            for name, tensor in state.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the optimiser's state to what `tensors` gave.

        Raises:
            ValueError, IndexError: it is of other weights.
        """
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            index, name = key.split("/")
            weight = self._weights[int(index)]
            if tensor.dim() and tensor.shape != weight.shape:
                raise ValueError(f"{key} is of another shape than its weight")
            stored = _as_stored(tensor, weight)
            # A copy: the optimiser would write into what it is given.
            copied = stored.clone(memory_format=torch.contiguous_format)
            state.setdefault(int(index), {})[name] = copied
        self.load_state_dict({"state": state, "param_groups": self.state_dict()["param_groups"]})


def _as_stored(tensor: Tensor, weight: Tensor) -> Tensor:
    """`tensor`, of a weight's shape, with its dimensions in the order of the weight's memory."""
    return tensor.permute(0, 2, 3, 1) if _is_channels_last(tensor, weight) else tensor


def _shaped(tensor: Tensor, weight: Tensor) -> Tensor:
    """The inverse of `_as_stored`."""
    return tensor.permute(0, 3, 1, 2) if _is_channels_last(tensor, weight) else tensor


def _is_channels_last(tensor: Tensor, weight: Tensor) -> bool:
    # The count of steps has no dimensions.
    return tensor.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
