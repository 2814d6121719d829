"""Batches on their way through a network: begun, and fetched later.

In: what a network is given of some scenes, and the network. Out: their images as the levels of
uint16. A processor predicts a batch when it is begun. A card is only told to: it predicts one while
the next is uploaded and the one before comes back, and the host waits once for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.machine.device import pick
from kit.models.flips import average_views
from kit.models.levels import levels_on_processor, to_levels
from kit.scaling import from_signed, to_signed

Network = Callable[[Tensor], Tensor]
"""Planes [N, C, H, W] to RGB [N, 3, H, W], both in [-1, 1], computed where the network runs."""

Fetch = Callable[[], NDArray[np.uint16] | None]
"""Waits for a batch; its images [N, 3, H, W], or None where one is not finite."""

Planes = Sequence[NDArray[np.float32]]
"""What a network is given of the scenes of a batch, each [C, H, W] in [0, 1]."""


class Predictor(Protocol):
    """Predicts batches, `ahead` of which may be begun before the first of them is fetched."""

    ahead: int

    def begin(self, network: Network, planes: Planes, flips: int) -> Fetch:
        """Begin a batch; `flips` views of it are averaged, see `kit.models.flips`."""


class OnProcessor:
    """Predicts a batch when it is begun."""

    ahead = 0

    def begin(self, network: Network, planes: Planes, flips: int) -> Fetch:
        """The images are there when this returns."""
        signed = np.empty((len(planes), *planes[0].shape), np.float32)
        for into, each in zip(signed, planes, strict=True):
            np.multiply(each, 2, out=into)
            np.subtract(into, 1, out=into)
        inputs = torch.from_numpy(signed)
        if flips == 1:
            found = levels_on_processor(network(inputs).cpu().numpy(), signed=True)
        else:
            mean = average_views(lambda view: from_signed(network(view)), inputs, flips)
            found = levels_on_processor(mean.cpu().numpy(), signed=False)
        return lambda: found


class OnCard:
    """Uploads a batch on one stream, brings it back on another, and computes on the current one.

    What is copied lies in page-locked memory, the only one that a card reads and writes while this
    thread goes on. To lock it takes longer than a batch, so batches take turns with it.
    """

    ahead = 1

    def __init__(self) -> None:
        self._up: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._down: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._slots: list[_Slot] = []

    def begin(self, network: Network, planes: Planes, flips: int) -> Fetch:
        """Nothing here waits for the card."""
        slot = self._free_slot(len(planes), planes[0].shape)
        np.stack(planes, out=slot.planes.numpy())
        compute = torch.cuda.current_stream()
        with torch.cuda.stream(self._up):
            inputs = slot.planes.to(pick(), non_blocking=True)
        compute.wait_stream(self._up)
        views = average_views(lambda view: from_signed(network(view)), to_signed(inputs), flips)
        results = to_levels(views)
        self._down.wait_stream(compute)
        with torch.cuda.stream(self._down):
            slot.levels.copy_(results[0], non_blocking=True)
            slot.finite.copy_(results[1], non_blocking=True)
            slot.done.record()
        # Until the copies are made: torch may give memory that nothing holds to other streams.
        slot.held = inputs, *results
        return slot.fetch

    def _free_slot(self, count: int, shape: tuple[int, ...]) -> "_Slot":
        """Page-locked memory for a batch: that of one that was fetched, where it has the size."""
        for slot in self._slots:
            if not slot.held and slot.planes.shape == (count, *shape):
                return slot
        slot = _Slot.new(count, shape)
        self._slots = [*(each for each in self._slots if each.held), slot]
        return slot


@dataclass
class _Slot:
    planes: Tensor
    levels: Tensor
    finite: Tensor
    done: Any = field(default_factory=lambda: torch.cuda.Event())  # type: ignore[no-untyped-call]
    held: tuple[Tensor, ...] = ()

    @classmethod
    def new(cls, count: int, shape: tuple[int, ...]) -> "_Slot":
        levels = _page_locked((count, 3, *shape[1:]), torch.uint16)
        return cls(
            _page_locked((count, *shape), torch.float32), levels, _page_locked((), torch.bool)
        )

    def fetch(self) -> NDArray[np.uint16] | None:
        self.done.synchronize()
        self.held = ()
        return self.levels.numpy().copy() if bool(self.finite) else None


def _page_locked(shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=kind, pin_memory=True)


def predictor() -> Predictor:
    """What predicts on the device."""
    return OnCard() if pick().type == "cuda" else OnProcessor()
