"""The device that the networks run on, and the memory format of their tensors there."""

import copy
import ctypes
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T", bound=nn.Module | Tensor)

DRIVER = Path("/dev/nvidiactl")  # of NVIDIA's driver, be it one that torch cannot use
LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # makes torch request them from the kernel

# Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def pick() -> torch.device:
    """The first CUDA device when torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def rounds_to_tf32() -> bool:
    """Whether convolutions of float32 on a card may round to TF32.

    Torch lets them by default, though not matrix products.
    """
    return bool(torch.backends.cudnn.allow_tf32)


def what_computes() -> str:
    """The card and whether it rounds to TF32, or the instructions that torch has on a processor."""
    if pick().type == "cuda":
        rounding = ", tf32" if rounds_to_tf32() else ""
        return torch.cuda.get_device_name() + rounding
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"


def card() -> str:
    """The first CUDA device in words: its name and its memory."""
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB"


def cuda_fault() -> str:
    """Why torch can use no CUDA device; "" if it can."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (AssertionError, RuntimeError) as error:
        return str(error).partition("\n")[0]
    return ""


def unreached() -> str:
    """Why a card that is here is not used; "" if it is, is hidden on purpose, or there is none."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or torch.cuda.is_available() or not DRIVER.exists():
        return ""
    why = cuda_fault() or "torch finds no device"
    return f"there is a card, and the processor is used in its place: {why}"


def place(item: T) -> T:
    """Move a network or a batch [B, C, H, W] to the device, channels last.

    A network that says that it is `on_processor` stays there: it gives what it finds to the device
    of its input.

    Convolutions are faster so: on a CPU a step of a narrow SPADE takes 0.6 to 0.8 of the time, and
    one of pix2pixHD 0.90 to 0.96 (widths 16, 32 and 64, one core with AVX-512).
    """
    if getattr(item, "on_processor", False):
        return item
    untyped: Any = item  # torch declares no memory format for modules
    # What reads it on the device waits for the copy; this thread goes on.
    placed: T = untyped.to(pick(), memory_format=torch.channels_last, non_blocking=True)
    return placed


def place_copy(network: nn.Module) -> nn.Module:
    """`network` on the device; on a card a copy, so that whoever keeps it has it on the CPU still.

    `place` moves the network itself.
    """
    return place(network if pick().type == "cpu" else copy.deepcopy(network))


def keep_memory() -> None:
    """Make this process reuse the memory that it frees, in large pages.

    glibc maps every block above 32 MiB again, and the kernel clears it page by page: a tenth of a
    training step on a CPU. With other C libraries nothing is changed.
    """
    # torch reads it once, before its first tensor; tensors of 2 MiB and more then use such pages.
    os.environ.setdefault(LARGE_PAGES, "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
