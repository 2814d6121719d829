"""`kit` commands that are run one after the other, each in a process of its own.

In: what is typed after `kit`. Out: its exit code. A command ends with this process, however that
ends: it saves what it has first. The next to hold the folder waits until it has.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit.errors import BusyError
from kit.machine.parent import SAVING, end_with
from kit.progress import Report
from kit.storage.files import make_folder
from kit.training.signals import delayed_signals


class Commands:
    """Runs commands for the one process that holds a folder; made by `hold`."""

    def __init__(self, held: int) -> None:
        self._held = held

    def run(self, words: Sequence[str]) -> int:
        """Run `kit` with these words; returns its exit code.

        Raises:
            KeyboardInterrupt: a signal came; the command has ended.
        """
        parent = os.getpid()

        def end_with_parent() -> None:
            try:
                end_with(parent)
            except KeyboardInterrupt:
                os._exit(130)

        process: subprocess.Popen[bytes] | None = None

        def hand_on() -> None:
            if process:
                process.send_signal(signal.SIGTERM)

        with delayed_signals(ignore_repeats=True, on_signal=hand_on) as signals:
            # A group of its own: it gets Ctrl-C once, from here. It holds the lock as this does.
            process = subprocess.Popen(
                [sys.executable, "-m", "kit", *words],
                process_group=0,
                preexec_fn=end_with_parent,
                pass_fds=(self._held,),
            )
            if signals:  # one came between the start and the assignment
                hand_on()
            code = process.wait()
        if signals:
            raise KeyboardInterrupt
        return 128 - code if code < 0 else code


@contextmanager
def hold(folder: Path, report: Report) -> Iterator[Commands]:
    """Hold `folder` against other processes, and against a command that one of them has left.

    Raises:
        BusyError: another holds it, and does not end soon.
    """
    make_folder(folder)
    path = folder / ".compete"
    with path.open("a") as file:
        deadline, reported = time.monotonic() + SAVING, False
        while not _lock(file.fileno()):
            if time.monotonic() > deadline:
                raise BusyError(f"{path}: another kit compete works in this folder")
            if not reported:
                report("waiting for another kit compete, or for what it has left to be saved")
                reported = True
            time.sleep(0.2)
        yield Commands(file.fileno())


def _lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
