"""What this machine will use, and why.

In: the machine as it is. Out: one `Finding` a line. Refuses nothing: what is missing or broken is a
finding too.
"""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import rasterio
import torch

import kit
from kit.engines.registry import BACKENDS
from kit.errors import InputError
from kit.machine import bfloat16
from kit.machine.cores import quota
from kit.machine.device import DRIVER, card, pick, unreached
from kit.machine.kept import kept_at
from kit.models import leaf_masks
from kit.models.layers import instance_norm
from kit.screening import counts, ukis
from kit.tiles import reader
from kit.training import boosting

_FOR_CARDS = {"cloud counts on CUDA", "engine: tensorrt", "engine: tensorrt-rtx"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about this machine: its name, what it is, and why it is so."""

    name: str
    value: str
    why: str


def inspect() -> tuple[Finding, ...]:
    """Inspect the interpreter, the kit, torch and its device, the compiled core, GDAL, the disk."""
    found = (
        Finding("python", platform.python_version(), sys.executable),
        Finding("kit", kit.__version__, str(Path(kit.__file__).parent)),
        Finding("torch", torch.__version__, _torch_build()),
        _device(),
        _bfloat16(),
        _backend("cloud counts", counts.backend),
        _backend("cloud counts on CUDA", counts.cuda_backend),
        _backend("cloud detector", lambda: (ukis.version(), "kit screen --detector ukis")),
        _backend("tile reader", reader.backend),
        _backend("instance norm", instance_norm.backend),
        _backend("tree predictor", leaf_masks.backend),
        *map(_engine, BACKENDS),
        _backend("boosted trees", lambda: (boosting.version(), "fits the model trees")),
        Finding("rasterio", rasterio.__version__, f"GDAL {rasterio.__gdal_version__}"),
        _disk(Path()),
    )
    return found if _has_card() else tuple(map(_without_card, found))


def _has_card() -> bool:
    """Whether there is an NVIDIA card, be it one that torch does not reach."""
    driver = DRIVER.exists() or shutil.which("nvidia-smi") is not None
    return driver or pick().type == "cuda"


def _without_card(finding: Finding) -> Finding:
    """What only a card needs is no fault of a machine that has none."""
    if finding.name in _FOR_CARDS and finding.value == "none":
        return Finding(finding.name, "-", "for NVIDIA cards; this machine has none")
    return finding


def _torch_build() -> str:
    cuda = torch.version.cuda
    return f"built for CUDA {cuda}" if cuda else "built for the CPU"


def _device() -> Finding:
    if pick().type == "cuda":
        return Finding("device", card(), f"the first of {torch.cuda.device_count()} CUDA device(s)")
    value = f"CPU, {torch.get_num_threads()} thread(s)"
    why = "torch finds no CUDA device" if torch.version.cuda else "torch is built without CUDA"
    why = unreached() or why
    limit = quota()
    if limit is not None:
        why += f"; the cgroup has a quota of {limit:g} cores"
    return Finding("device", value, why)


def _bfloat16() -> Finding:
    """The precision that training and engines choose here, with what was measured."""
    value = "used" if bfloat16.bfloat16_pays() else "not used"
    if pick().type == "cuda":
        return Finding("bfloat16", value, "what the card supports")
    rates = bfloat16.rates()
    if rates is None:
        return Finding("bfloat16", value, "the processor has no instructions for it")
    why = f"measured: {rates.gain:.2g} times as fast as float32; kept in {kept_at(bfloat16.WHAT)}"
    return Finding("bfloat16", value, why)


def _backend(name: str, settle: Callable[[], tuple[str, str]]) -> Finding:
    try:
        return Finding(name, *settle())
    except InputError as error:
        return Finding(name, "none", f"{error.where}: {error.problem}; {error.remedy}")


def _engine(name: str) -> Finding:
    """What `kit predict --backend NAME` would run on, and in which precisions."""
    backend = BACKENDS[name]
    try:
        backend.require()
    except InputError as error:
        return Finding(f"engine: {name}", "none", f"{error.problem}; {error.remedy}")
    value = ", ".join(backend.precisions())
    return Finding(f"engine: {name}", value, f"{backend.version()}; {backend.device()}")


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    why = f"of {usage.total / 1e9:.1f} GB, at {folder.resolve()}"
    return Finding("disk", f"{usage.free / 1e9:.1f} GB free", why)
