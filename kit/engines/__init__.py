"""Engines: a trained generator made ready for one machine, behind one face.

`backend.py` says what a backend offers; the modules that have `build` and `load` are backends.
`BACKENDS` lists them in the order in which they are tried where the user names none.
"""

from collections.abc import Sequence

from kit.device import pick
from kit.engines import eager, inductor, openvino
from kit.engines.backend import Backend
from kit.errors import InputError

BACKENDS: dict[str, Backend] = {"openvino": openvino, "inductor": inductor, "eager": eager}


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


def automatic() -> Sequence[str]:
    """The backends that are tried where the user names none, whether they can be used or not.

    On a processor OpenVINO is faster than torch's compiler and builds in a fraction of the time, so
    the compiler is tried only where OpenVINO cannot be used.
    """
    if pick().type == "cpu":
        try:
            openvino.require()
        except InputError:
            pass
        else:
            return [name for name in BACKENDS if name != inductor.NAME]
    return list(BACKENDS)
