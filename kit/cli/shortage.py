"""Memory or disk that runs out in a library, as an error that says what would help."""

import errno
from collections.abc import Sequence

from kit.errors import InputError, KitError, OutputError
from kit.machine.memory import ran_out

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# A step that does not fit is told by the training itself, which knows what would.
_TRAIN = "end other programs, give fewer --workers, or reduce the crop or the width"
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
    if ran_out(error):
        command = command_in(arguments)
        remedy = _LESS.get(command, "end other programs, or use a machine with more memory")
        return InputError("memory", "this machine has too little for the command", remedy=remedy)
    return None
