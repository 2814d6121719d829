"""Engines: a trained generator made ready for one machine, behind one face.

`backend.py` says what a backend offers; each module beside it is one. `BACKENDS` lists them in the
order in which they are tried where the user names none.
"""

from kit.engines import eager, openvino
from kit.engines.backend import Backend
from kit.errors import InputError

BACKENDS: dict[str, Backend] = {"openvino": openvino, "eager": eager}


def find_backend(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        InputError: there is none of that name, or it cannot be used here.
    """
    if name not in BACKENDS:
        raise InputError(name, "no such backend", f"known are {', '.join(BACKENDS)}, or auto")
    backend = BACKENDS[name]
    backend.require()
    return backend
