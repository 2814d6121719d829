"""Signals that ask a process to end, kept until it can: a step is never cut in two."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def collected(*, patient: bool, report: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM while the block runs; nothing else happens at the first of them.

    Only the main thread can: in another the list stays empty, and signals do what they did.

    Args:
        patient: a second Ctrl-C does no more than the first. Under torchrun it is the same one,
            which is handed on to processes that have had it already.
        report: called at each signal.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if report:
            report()
        if number == signal.SIGINT and not patient:
            signal.signal(number, before[signal.SIGINT])

    # A shell has what it starts in the background ignore Ctrl-C, which is meant for another.
    handlers = ((number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM))
    before = {number: it for number, it in handlers if it not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
