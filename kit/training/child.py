"""A training that `kit train-all` has started: it ends with its parent, and has its card alone.

In: what the parent puts into its environment. Out: a block in which this process is told to save
and end when the parent ends, however that is, and in which no other training that a `kit train-all`
of the same runs has started uses the card: the next such command waits for those that still save.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kit.machine import parent
from kit.progress import Report
from kit.storage.lock import lock_in_turn

_PARENT, _CARD = "KIT_TRAIN_ALL_PROCESS", "KIT_TRAIN_ALL_CARD"
_PLANNED = "KIT_TRAIN_ALL_SECONDS"


def for_child(runs: Path, card: str | None, planned_s: float | None = None) -> dict[str, str]:
    """The environment of a child that trains on this card; the default device if None.

    Args:
        runs: the folder of all runs.
        card: as CUDA_VISIBLE_DEVICES names it.
        planned_s: seconds that a plan has for the training.
    """
    device = card or os.environ.get("CUDA_VISIBLE_DEVICES", "")
    host = os.uname().nodename  # hosts may share a file system
    name = hashlib.sha256(f"{host} {device}".encode()).hexdigest()[:12]
    planned = "" if planned_s is None else str(planned_s)
    return {
        _PARENT: str(os.getpid()),
        _CARD: str(runs.resolve() / ".cards" / name),
        _PLANNED: planned,
    }


def is_child() -> bool:
    """Whether a `kit train-all` has started this process."""
    return _PARENT in os.environ


def planned_s() -> float | None:
    """The seconds that the plan of a `kit train-all` has for this training; None without a plan."""
    text = os.environ.get(_PLANNED) if is_child() else None
    return float(text) if text else None


def patience() -> float:
    """How many seconds to wait for another process to release this run."""
    return parent.SAVING if is_child() else parent.patience()


@contextmanager
def as_child(report: Report) -> Iterator[None]:
    """Do what the module says, if `kit train-all` has started this process.

    Raises:
        KeyboardInterrupt: the parent has ended already.
    """
    with ExitStack() as held:
        if process := os.environ.get(_PARENT):
            parent.end_with(int(process))

            def wait(line: str) -> None:
                holder = line.partition(": ")[2]
                report(f"waiting for the device: {holder}")

            held.enter_context(lock_in_turn(Path(os.environ[_CARD]), wait))
        yield
