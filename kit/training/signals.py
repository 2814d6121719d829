"""SIGINT and SIGTERM held back until the process can stop: no step is interrupted halfway."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def delayed_signals(
    *, ignore_repeats: bool, on_signal: Callable[[], None] | None = None
) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM while the block runs; yields the list of those that came.

    Only the main thread can: in another the list stays empty, and signals act as before.

    Args:
        ignore_repeats: a second Ctrl-C does no more than the first. Under torchrun it is the same
            one, which is passed on to processes that have had it already.
        on_signal: called at each signal.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if on_signal:
            on_signal()
        if number == signal.SIGINT and not ignore_repeats:
            signal.signal(number, before[signal.SIGINT])

    # A shell makes its background jobs ignore Ctrl-C, which is meant for the job in front.
    handlers = ((number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM))
    before = {number: it for number, it in handlers if it not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
