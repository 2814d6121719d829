"""How long OpenMP's threads spin for each other: briefly where others want the cores.

In: pieces of work, and how long the threads of this process were ready to run and had no core, as
Linux counts it. Out: libgomp's spinning, long or brief.

Alone on a machine threads that spin for milliseconds are the fastest: with those that sleep at once
a training step takes up to a third longer. Beside a program that is always busy a thread that spins
holds the core which the one that it waits for needs, and a step takes 1.5 to 5 times as long.

libgomp reads its setting once, when it is loaded. But it spins briefly while a process has more of
its threads than there are cores, so a further team of threads, asleep, is the switch.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from kit.machine.device import pick
from kit.machine.openmp import affine_cores, spinning_is_set

_TASKS = Path("/proc/self/task")
_SECONDS = 1.0  # of work between two looks
# Seconds in which threads had no core, for each second of work. On two cores a program that is busy
# for a half, for three quarters and all of the time makes 0.3, 0.45 and 0.75 of them beside threads
# that spin long, 0.35, 0.55 and 0.75 beside those that spin briefly; a step takes 0.8, 0.9 and 1.6
# times as long with the former as with the latter.
_CROWDED = 0.45
_MOST_TEAMS = 3  # where more are missing, threads leave most cores to others as it is
_GRAIN = 32_768  # numbers that torch leaves to one thread


class Spinning:
    """Switches the spinning of this process's threads.

    Args:
        waited: the seconds in which each thread had no core, by its name.
        clock: in seconds; only differences count.
    """

    def __init__(
        self, waited: Callable[[], dict[str, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._waited = waited
        self._clock = clock
        self._cores = affine_cores()  # as libgomp has counted them
        self._lock = threading.Lock()
        self._release: Callable[[], None] | None = None
        self._seen = waited()
        self._work = 0.0
        # Until its first piece a process works too: it imports and reads.
        self._made: float | None = clock()

    @property
    def brief(self) -> bool:
        """Whether threads have been asked to spin briefly."""
        return self._release is not None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """A piece of work, before which it switches if the cores are crowded, or are so no more.

        It looks once in a second of work. It does nothing on a card, where the user has said how
        threads wait, where Linux does not count what they lack, and beside another piece of work.
        """
        if pick().type != "cpu" or spinning_is_set() or not self._lock.acquire(blocking=False):
            yield
            return
        try:
            if self._made is not None:
                self._work, self._made = self._clock() - self._made, None
            if self._work >= _SECONDS:
                self._look()
            began = self._clock()
            yield
            self._work += self._clock() - began
        finally:
            self._lock.release()

    def _look(self) -> None:
        if not (now := self._waited()):
            return
        lacked = sum(seconds - self._seen.get(thread, 0) for thread, seconds in now.items())
        crowded = lacked > _CROWDED * self._work
        self._seen, self._work = now, 0.0
        if crowded and self._release is None:
            self._release = _hold_teams(torch.get_num_threads(), self._cores)
        elif self._release is not None and not crowded:
            atexit.unregister(self._release)
            self._release()
            self._release = None


def waited() -> dict[str, float]:
    """The seconds in which each thread of this process was ready to run and had no core.

    Empty where the system does not count them.
    """
    found = {}
    try:
        for thread in os.listdir(_TASKS):
            try:
                _, waiting, _ = (_TASKS / thread / "schedstat").read_text().split()
            except (FileNotFoundError, ProcessLookupError):  # it has ended since
                continue
            found[thread] = int(waiting) / 1e9
    except (OSError, ValueError):
        return {}
    return found


SPINNING = Spinning(waited)
"""That of this process."""


def _hold_teams(threads: int, cores: int) -> Callable[[], None] | None:
    """Have as many teams sleep as make more threads than cores, until what is returned is called.

    None where there is nothing to gain, or the system grants no more threads.
    """
    teams = _teams(threads, cores)
    if not teams or not _granted(teams * threads):
        return None
    end = threading.Event()
    held = [
        threading.Thread(target=_hold_team, args=(threads, end), daemon=True) for _ in range(teams)
    ]

    def release() -> None:
        end.set()
        for thread in held:
            if thread.is_alive():
                thread.join()

    # Python ends a daemon thread as it comes back from torch, and that aborts the whole process.
    atexit.register(release)
    for thread in held:
        thread.start()
    return release


def _teams(threads: int, cores: int) -> int:
    """How many teams, beside that of the caller, make more threads than cores; 0 if too many."""
    missing = 0 if threads < 2 else max(0, (cores - threads) // (threads - 1) + 1)
    return missing if missing <= _MOST_TEAMS else 0


def _granted(count: int) -> bool:
    """Whether the system grants so many more threads: libgomp ends a process that it refuses one.

    So they are started here first, where that is an error.
    """
    over = threading.Event()
    started = [threading.Thread(target=over.wait, daemon=True) for _ in range(count)]
    try:
        for thread in started:
            thread.start()
    except RuntimeError:
        return False
    finally:
        over.set()
    for thread in started:
        thread.join()
    return True


def _hold_team(threads: int, end: threading.Event) -> None:
    """Have libgomp start a team for this thread, which sleeps with it until the end."""
    torch.empty(threads * _GRAIN).fill_(0)
    end.wait()
