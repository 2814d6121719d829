"""Eager PyTorch, the reference that every other backend is compared with."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from kit.engines.backend import Plan, Spec
from kit.engines.request import Precision
from kit.machine.bfloat16 import bfloat16_pays
from kit.machine.device import pick, place_copy, what_computes
from kit.models.infer import Forward, forward


def require() -> None:
    """Nothing is missing: the kit needs torch anyway."""


def targets() -> Mapping[str, str]:
    """Empty: there is nothing to build."""
    return {}


def version() -> str:
    """Torch's version, which names the platform that it was built for."""
    return f"torch {torch.__version__}"


def device() -> str:
    """What decides how it rounds."""
    return what_computes()


def precisions() -> Sequence[Precision]:
    """bfloat16 by autocast where the device multiplies it fast."""
    return ("bfloat16", "float32") if bfloat16_pays() else ("float32",)


def plans() -> Sequence[Plan]:
    """A processor gains little from more than a few tiles."""
    return (Plan(4),) if pick().type == "cpu" else (Plan(4), Plan(16), Plan(32))


def build(generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
    """Write nothing: the weights file is all that is needed."""


def load(folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]) -> Forward:
    """The generator as it was trained."""
    network = place_copy(generator().eval())
    return lambda sar: forward(network, sar, spec.precision == "bfloat16")
