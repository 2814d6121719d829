"""The process that has started this one: torchrun, or another command of the kit.

In: what it puts into the environment. Out: whether torchrun has; and a process that the system
tells to save and end when its parent ends, however that is, `kill -9` included.
"""

import ctypes
import os
import signal

SAVING = 120  # seconds that a process that is told to end may take to save
_RANKS = 30  # what to wait for in silence: somebody may have typed torchrun twice
_TELL_AT_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of Linux


def end_with(parent: int) -> None:
    """Have the system send SIGTERM to this process when its parent ends.

    Raises:
        KeyboardInterrupt: it has ended already.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:
        prctl(_TELL_AT_PARENTS_DEATH, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise KeyboardInterrupt


def is_launched() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def patience() -> float:
    """Seconds to wait for a lock that ranks of a torchrun that was killed may still hold."""
    return _RANKS if is_launched() else 0
