"""The backends by name, in the order in which they are tried where the user names none.

`kit.engines.backend` defines their interface.
"""

from collections.abc import Sequence

from kit.engines.backend import Backend
from kit.engines.backends import eager, inductor, openvino, tensorrt, tensorrt_rtx
from kit.errors import InputError, no_such
from kit.machine.device import pick

BACKENDS: dict[str, Backend] = {
    "tensorrt": tensorrt,
    "tensorrt-rtx": tensorrt_rtx,
    "openvino": openvino,
    "inductor": inductor,
    "eager": eager,
}


def find_backend(name: str, target: str = "") -> Backend:
    """The backend called `name`, which this machine can use; or, with a target, can build for.

    Raises:
        InputError: the name is unknown, the backend is not usable here, or has no such target.
    """
    if name not in BACKENDS:
        raise no_such("backend", name, ["auto", *BACKENDS])
    backend = BACKENDS[name]
    if not target:
        backend.require()
    elif target not in (known := backend.targets()):
        remedy = (
            f"choose one of {', '.join(known)}" if known else "it builds for this machine alone"
        )
        raise InputError(target, f"{name} has no such target", remedy=remedy)
    return backend


def automatic() -> Sequence[str]:
    """The backends that are tried where the user names none, whether this machine can use them.

    OpenVINO runs on the processor, so it is left out where there is a card. On a processor it is
    faster than torch's compiler and builds in a fraction of the time, so the compiler is tried only
    where OpenVINO is not usable.
    """
    left_out = "openvino"
    if pick().type == "cpu":
        try:
            openvino.require()
        except InputError:
            pass
        else:
            left_out = inductor.NAME
    return [name for name in BACKENDS if name != left_out]
