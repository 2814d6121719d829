"""Memory or disk that runs out in a library, as an error that says what would help."""

import errno
from collections.abc import Sequence

from kit.errors import InputError, KitError, OutputError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# How torch begins to say that an allocation has failed, on a CPU and on CUDA.
_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "CUDA out of memory")
_TRAIN = "--set accumulate=2 computes a batch in parts; or reduce crop, width or --workers"
_LESS = {
    "train": _TRAIN,
    "train-all": _TRAIN,
    "predict": "predict one member at a time, with --backend eager; tiles are read in batches",
    "compile": "compile one variant at a time, for a smaller --size",
    "screen": "end other programs; tiles of more than 4096 pixels a side take most",
    "prepare": "end other programs; tiles of more than 4096 pixels a side take most",
}


def command_in(arguments: Sequence[str]) -> str:
    """The name of the command in a command line, "" if there is none."""
    return next((text for text in arguments if not text.startswith("-")), "")


def shortage(error: BaseException, arguments: Sequence[str]) -> KitError | None:
    """The error to tell in place of one of a library; None if nothing has run out.

    Args:
        error: what was raised.
        arguments: of the command line.
    """
    if isinstance(error, OSError) and not isinstance(error, KitError) and error.errno in _DISK:
        where = error.filename or "a temporary file"
        remedy = "free disk space, and run the same command again"
        return OutputError(f"{where}: cannot be written ({error.strerror})\n  {remedy}")
    told = isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY)
    if isinstance(error, MemoryError) or told:
        command = command_in(arguments)
        remedy = _LESS.get(command, "end other programs, or use a machine with more memory")
        return InputError("memory", "this machine has too little for the command", remedy=remedy)
    return None
