"""Engines: a trained generator made ready for one machine, behind one face.

`backend.py` says what a backend offers; the modules that have `build` and `load` are backends.
`BACKENDS` lists them in the order in which they are tried where the user names none.
"""

from collections.abc import Sequence

from kit.device import pick
from kit.engines.backend import Backend
from kit.engines.backends import eager, inductor, openvino, tensorrt, tensorrt_rtx
from kit.errors import InputError

BACKENDS: dict[str, Backend] = {
    "tensorrt": tensorrt,
    "tensorrt-rtx": tensorrt_rtx,
    "openvino": openvino,
    "inductor": inductor,
    "eager": eager,
}


def find_backend(name: str, target: str = "") -> Backend:
    """The backend called `name`, which can be used here; with a target, which can build for it.

    Raises:
        InputError: there is none of that name, or it cannot do that.
    """
    if name not in BACKENDS:
        raise InputError(
            name, "no such backend", remedy=f"known are {', '.join(BACKENDS)}, or auto"
        )
    backend = BACKENDS[name]
    if not target:
        backend.require()
    elif target not in (known := backend.targets()):
        has = f"known are {', '.join(known)}" if known else "it builds for this machine alone"
        raise InputError(target, f"{name} has no such target", remedy=has)
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
