"""Which processor the networks run on, and how their tensors lie there."""

import ctypes
import os
import sys
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T", bound=nn.Module | Tensor)

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # by which torch asks the kernel for them

# Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def pick() -> torch.device:
    """The first CUDA device when torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def multiplies_bfloat16() -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones.

    Processors do with AMX; what they have otherwise is slower than float32.
    """
    if pick().type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))


def place(what: T) -> T:
    """Move a network or a batch [B, C, H, W] to the device, channels last.

    Convolutions run faster so: a step of a narrow SPADE takes 0.6 to 0.8 of the time on a CPU.
    """
    anything: Any = what  # the memory format of a module is missing from its declaration
    placed: T = anything.to(pick(), memory_format=torch.channels_last)
    return placed


def keep_memory() -> None:
    """Let this process keep the memory that it frees, for its next tensors, in large pages.

    glibc maps every block above 32 MiB anew, and the kernel clears it page by page: a tenth of a
    training step on a CPU. Of other C libraries nothing is known, and nothing is changed.
    """
    # torch reads it once, before its first tensor; those of 2 MiB and more are then in such pages.
    os.environ.setdefault(LARGE_PAGES, "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
