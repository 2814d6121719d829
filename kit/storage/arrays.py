"""Arrays of `.npy` files, and their digests.

In: a file. Out: its array, mapped into memory. Refused by name: a file that is missing, cut short
or holds no array.
"""

import hashlib
from pathlib import Path
from threading import Lock
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError

# numpy reads the header of an array as Python source, and passes on what Python's parser raises.
# Until 3.11.8 and 3.12.2 that raises SystemError now and then when two threads parse at a time, as
# they share a counter (https://github.com/python/cpython/issues/106905).
_PARSER = Lock()


def read_array(path: Path, remedy: str) -> NDArray[Any]:
    """The array in an .npy file, mapped and not to be written to. Any number of threads may ask.

    Raises:
        InputError: the file is missing, cut short or holds no array.
    """
    try:
        with _PARSER:
            array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=remedy) from None
    except (OSError, ValueError, SyntaxError, TokenError) as error:
        problem = f"not readable as an array ({' '.join(str(error).split())})"
        raise InputError(path, problem, remedy=remedy) from None
    return array.view(np.ndarray)  # the subclass for maps costs time whenever it is indexed


def array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of the shape and the values of an array, in hexadecimal."""
    found = hashlib.sha256(repr(array.shape).encode())
    found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
