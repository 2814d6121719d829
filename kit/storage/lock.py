"""The lock of a folder: one process at a time writes into it, on whatever machine.

Who gets it removes what processes before left half written there: none of them can still write.
"""

import errno
import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from kit.errors import BusyError, OutputError
from kit.storage.files import make_folder, naming
from kit.storage.half_written import sweep

_FILE = ".lock"
# Seconds that a lock is waited for: where `holder` may be looking, for an instant; and where a node
# has died, whose lock NFS keeps for its lease, 90 s as a rule.
_GLANCE = 0.15
_LEASE = 120
_GONE = (errno.ENOENT, errno.ESTALE)  # the other where a file server has removed it


@contextmanager
def lock(folder: Path, restarted: bool = False, patience: float = 0) -> Iterator[None]:
    """Hold `folder` for this process; the operating system frees it when the process ends, however.

    Args:
        folder: made if it is not there.
        restarted: this process may follow one on a node that died, whose lock a file server keeps
            for a while; another host's is then waited for.
        patience: seconds to wait for any other, which is about to end.

    Raises:
        BusyError: another living process holds it; says which, and on which host.
        OutputError: the folder cannot be written to, or its file system has no locks.
    """
    while True:
        with _opened(folder, restarted, patience) as file:
            # Removed, or replaced, while it was waited for.
            if file is None or not _is_there(folder, file):
                continue
            with suppress(OSError):  # on a full disk it is held all the same
                file.truncate(0)
                os.write(file.fileno(), f"{os.getpid()} on {os.uname().nodename}".encode())
            sweep(folder)
            yield
            return


@contextmanager
def lock_in_turn(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold `folder` as `lock` does, after any other process has released it, whenever that is.

    Args:
        folder: made if it is not there.
        report: takes a line about who holds it, if it has to be waited for.

    Raises:
        OutputError: as `lock`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(lock(folder))
        except BusyError as error:
            report(str(error))
            held.enter_context(lock(folder, patience=math.inf))
        yield


@contextmanager
def _opened(folder: Path, restarted: bool, patience: float) -> Iterator[TextIO | None]:
    """The locked file of a folder, None if it is gone before it is free; raises as `lock`."""
    host = os.uname().nodename  # hosts may share a file system
    begun = time.monotonic()
    make_folder(folder)
    with naming(folder):
        opened = (folder / _FILE).open("a+")
    with opened as file:
        while not _lock(folder, file):
            file.seek(0)
            owner = file.read().strip() or "?"
            elsewhere = " on " in owner and not owner.endswith(f" on {host}")
            limit = max(_LEASE if restarted and elsewhere else _GLANCE, patience)
            if time.monotonic() - begun > limit:
                raise BusyError(f"{folder}: in use by process {owner}")
            time.sleep(0.05)
            if not _is_there(folder, file):
                yield None
                return
        yield file


def _is_there(folder: Path, file: TextIO) -> bool:
    """Whether an open file is still the one that whoever comes next would lock."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(folder / _FILE))
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise


def _lock(folder: Path, file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        remedy = "mount its file system with locks (flock), or give another folder"
        raise OutputError(f"{folder}: cannot be locked ({error.strerror})\n  {remedy}") from error
    return True


def holder(folder: Path) -> str | None:
    """The process that holds `folder` with `lock` and its host, or None; "?" if it does not say."""
    try:
        with (folder / _FILE).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "?"
    except OSError:
        pass
    return None
