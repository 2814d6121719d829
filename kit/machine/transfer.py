"""What goes to a card and comes back from it while it computes.

In: tensors on the one side. Out: the same on the other; whoever starts the copy goes on meanwhile.
Without a card they stay where they are.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from kit.machine.device import pick, place


class Uploads:
    """Copies batches to the device on a stream of their own, beside what it computes."""

    def __init__(self) -> None:
        on_card = pick().type == "cuda"
        self._stream = torch.cuda.Stream() if on_card else None  # type: ignore[no-untyped-call]

    def __call__(self, batch: Iterable[Tensor]) -> list[Tensor]:
        """The tensors [B, C, H, W] on the device, channels last; those in pinned memory overlap."""
        if self._stream is None:
            return [*map(place, batch)]
        with torch.cuda.stream(self._stream):
            placed = [*map(place, batch)]
        current = torch.cuda.current_stream()
        current.wait_stream(self._stream)
        for tensor in placed:
            # Its memory must not be given to the next upload before it was used.
            tensor.record_stream(current)
        return placed


class Download:
    """Numbers that are on their way from the device.

    Args:
        values: on the device, [n].
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._copied = None
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def numbers(self) -> list[float]:
        """The numbers, once they are there."""
        if self._copied:
            self._copied.synchronize()
        found: list[float] = self._values.tolist()
        return found
