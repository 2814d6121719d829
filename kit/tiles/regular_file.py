"""That something can be read as a file, before a library is asked to."""

import os
import stat
from pathlib import Path

from kit.errors import InputError


def check_regular(path: str | Path, kind: str) -> os.stat_result:
    """Refuse what GDAL and HDF5 would wait for, such as a fifo, or explain badly.

    Args:
        path: of the file.
        kind: what it has to be, for the message: "a TIFF".

    Raises:
        InputError: it is missing, not allowed to be read, no regular file, or empty.
    """
    try:
        os.fspath(path).encode()
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        status = os.fstat(file)
        os.close(file)
    except OSError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})") from None
    except ValueError:
        problem = "its name has a NUL, or is not UTF-8"
        raise InputError(ascii(str(path)), problem, remedy="rename it") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(path, "is not a regular file", remedy=f"give {kind}")
    if status.st_size == 0:
        raise InputError(path, "is empty (0 bytes)", remedy="fetch it again")
    return status
