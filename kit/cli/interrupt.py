"""Ctrl-C: acknowledged at once, and at the end the one command that goes on.

Python runs the handler of a signal between two of its own instructions, and a training step or a
read may take seconds. The interpreter writes the number of the signal to a file descriptor at once,
whichever handler is set; a thread that waits there answers meanwhile.
"""

import os
import shlex
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread

from kit.cli import console
from kit.cli.shortage import command_in
from kit.training.child import is_child

RESUMING = {
    "simulate", "screen", "prepare", "pack", "train", "train-all", "compile", "predict",
    "translate", "compete",
}  # fmt: skip
"""Commands that keep what they have done when they are interrupted."""


@contextmanager
def acknowledged() -> Iterator[None]:
    """Answer the first SIGINT or SIGTERM of the block at once; in the main thread only.

    What `kit train-all` has started leaves the answer to it.
    """
    if is_child():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = Thread(target=_answer, args=(reader,), name="interrupt", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()  # what was written before is still read
        thread.join(timeout=1)


def resume_line(arguments: Sequence[str]) -> str:
    """What to type after an interruption of `kit` with these arguments, in one line."""
    command = command_in(arguments)
    if "WORLD_SIZE" in os.environ:
        return "interrupted; to go on, run the same torchrun command again"
    if command not in RESUMING:
        return f"interrupted; to start again: {shlex.join(['kit', *arguments])}"
    # What was done since is no older output: it is to be kept.
    kept = [text for text in arguments if text != "--overwrite"]
    return f"interrupted; to go on: {shlex.join(['kit', *kept])}"


def _answer(reader: socket.socket) -> None:
    answered = False
    with reader:
        while numbers := reader.recv(64):
            if not answered and {signal.SIGINT, signal.SIGTERM} & set(numbers):
                answered = True
                console.write("interrupted: stopping once what is done is saved")
