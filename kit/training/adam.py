"""Adam over weights as they lie in memory.

torch's fused Adam on a CPU copies every gradient that lies channels last, and pairs numbers by
their place in memory. It is given views here whose last dimension is the innermost, so it has
nothing to copy, and every number of a gradient meets the weight that it is of.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """torch's fused Adam for `weights`.

    Args:
        weights: parameters, whose memory must stay where it is.
        rate: the learning rate.
        betas: the decay of the means of gradients and of their squares.
    """

    def __init__(self, weights: Iterable[Tensor], rate: float, betas: tuple[float, float]) -> None:
        self._weights = list(weights)
        views = [_lying(weight.detach(), weight) for weight in self._weights]
        super().__init__(views, rate, betas=betas, fused=True)

    def step(self) -> None:  # type: ignore[override]
        """Take one step along the gradients of the weights; torch's would take a function too."""
        views = self.param_groups[0]["params"]
        for weight, view in zip(self._weights, views, strict=True):
            view.grad = None if weight.grad is None else _lying(weight.grad, weight).contiguous()
        super().step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; none is kept to be set to zero."""
        super().zero_grad()
        for weight in self._weights:
            weight.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All that it remembers, by `<number of the weight>/<what>`, in the shapes of weights."""
        return {
            f"{index}/{name}": _shaped(tensor, self._weights[index])
            for index, state in self.state_dict()["state"].items()
            for name, tensor in state.items()
        }

    def remember(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `tensors` gave in place of what it remembers.

        Raises:
            ValueError, IndexError: it is not of these weights.
        """
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            index, name = key.split("/")
            weight = self._weights[int(index)]
            if tensor.dim() and tensor.shape != weight.shape:
                raise ValueError(f"{key} is of another shape than its weight")
            lying = _lying(tensor, weight)
            # A copy: the optimiser would write into what it is given.
            copied = lying.clone(memory_format=torch.contiguous_format)
            state.setdefault(int(index), {})[name] = copied
        self.load_state_dict({"state": state, "param_groups": self.state_dict()["param_groups"]})


def _lying(tensor: Tensor, weight: Tensor) -> Tensor:
    """`tensor`, of a weight's shape, with its dimensions in the order in which the weight lies."""
    return tensor.permute(0, 2, 3, 1) if _is_last(tensor, weight) else tensor


def _shaped(tensor: Tensor, weight: Tensor) -> Tensor:
    """What `_lying` was given."""
    return tensor.permute(0, 3, 1, 2) if _is_last(tensor, weight) else tensor


def _is_last(tensor: Tensor, weight: Tensor) -> bool:
    # What counts steps has no dimensions.
    return tensor.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
