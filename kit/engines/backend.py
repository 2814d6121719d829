"""What a backend offers, and what an engine is built for.

A backend is a module of this package with the functions of `Backend`. It knows how to turn a
generator into files, and files into a function from SAR to RGB; the cache, the gate and the choice
of a batch are the same for all and are not its business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from kit.engines.request import Precision
from kit.models.infer import Forward

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What an engine raises where the device's memory does not hold a batch."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What an engine is built for: the precision of most of its layers, and the size of a tile.

    `target` is one of the backend's `targets`, or "" for what this machine has.
    """

    precision: Precision
    height: int
    width: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine is run: tiles in a call, and calls of the backend that run beside each other.

    A call with `batch` tiles is cut in `streams` equal parts.
    """

    batch: int
    streams: int = 1


class Backend(Protocol):
    """What each module of this package that runs generators has."""

    def require(self) -> None:
        """Return where the backend can be used.

        Raises:
            InputError: it is not installed, with the line that would install it, or this machine
                cannot run it.
        """

    def targets(self) -> Mapping[str, str]:
        """Devices that engines can be built for on any machine, `require` or not.

        Each with what `device` says where it is the machine's own.

        Raises:
            InputError: it is not installed, with the line that would install it.
        """

    def version(self) -> str:
        """The versions of all that decides what is built."""

    def device(self) -> str:
        """What an engine runs on, in words that differ where one of another cannot be used."""

    def precisions(self) -> Sequence[Precision]:
        """Those that this machine computes in, the one expected to be fastest first."""

    def plans(self) -> Sequence[Plan]:
        """The ways to run an engine that are worth measuring."""

    def build(self, generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
        """Write all that `load` needs into `folder`, which is empty.

        Args:
            generator: from SAR to RGB, as `kit.models.rewrites.fuse.for_inference` rewrites it.
            spec: what to build for.
            folder: where to write.
            tiles: SAR [N, 2, H, W] in [-1, 1] like that which it will see, to calibrate on.

        Raises:
            InputError: the backend does not take the network, the precision or the target.
        """

    def load(
        self, folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]
    ) -> Forward:
        """The function that `build` made files of.

        Args:
            folder: where `build` wrote.
            spec: what it was built for.
            plan: how to run it.
            generator: loads the weights, for a backend that keeps no copy of them.

        Raises:
            MemoryError: the device cannot hold a batch of the plan.
        """
