"""The interface of a backend, and what an engine is built for.

A backend is a module of `kit.engines.backends` with the functions of `Backend`. It turns a
generator into files, and files into a function from SAR to RGB; the cache, the accuracy check and
the choice of a batch are the same for all.
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

# How TensorRT and torch's own libraries say so, on a card and on a processor.
_SHORTAGE = ("OutOfMemory", "out of memory", "can't allocate memory")


def is_shortage(reason: str) -> bool:
    """Whether what a library says is that there is too little memory, whatever it raised."""
    return any(text in reason for text in _SHORTAGE)


@dataclass(frozen=True, slots=True)
class Spec:
    """What an engine is built for: the precision of most of its layers, and the size of a tile.

    `target` is one of the backend's `targets`, or "" for this machine; `channels` are the planes of
    the generator's input.
    """

    precision: Precision
    height: int
    width: int
    target: str = ""
    channels: int = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine is run: tiles in a call, and parts of a call that run in parallel.

    A call with `batch` tiles is split into `streams` equal parts.
    """

    batch: int
    streams: int = 1


class Backend(Protocol):
    """The functions of each module in `kit.engines.backends` that runs generators."""

    def require(self) -> None:
        """Check that the backend can be used.

        Raises:
            InputError: it is not installed, with the command that installs it, or this machine
                cannot run it.
        """

    def targets(self) -> Mapping[str, str]:
        """Devices that engines can be built for on any machine, `require` or not.

        Each with what `device` returns on a machine with that device.

        Raises:
            InputError: it is not installed, with the command that installs it.
        """

    def version(self) -> str:
        """The versions of everything that decides the files of an engine."""

    def device(self) -> str:
        """The device that an engine runs on; engines are exchangeable where it is equal."""

    def precisions(self) -> Sequence[Precision]:
        """The precisions that this machine supports, the one expected to be fastest first."""

    def plans(self) -> Sequence[Plan]:
        """The ways to run an engine that are worth measuring."""

    def build(self, generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
        """Write what `load` needs into `folder`, which is empty.

        Args:
            generator: from SAR to RGB, as `kit.models.rewrites.fuse.for_inference` rewrites it.
            spec: what to build for.
            folder: where to write.
            tiles: inputs [N, C, H, W] in [-1, 1] like the later ones, to calibrate int8 with; none
                for other precisions.

        Raises:
            InputError: the backend does not support the network, the precision or the target.
        """

    def load(
        self, folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]
    ) -> Forward:
        """The function whose files `build` wrote.

        Args:
            folder: where `build` wrote.
            spec: what it was built for.
            plan: how to run it.
            generator: loads the weights, for a backend whose files do not hold them.

        Raises:
            MemoryError: the device's memory does not hold a batch of the plan.
        """
