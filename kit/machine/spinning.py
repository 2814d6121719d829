"""How long OpenMP's threads spin for each other: briefly where others want the cores.

In: how long each thread of this process ran, and was ready to run and had no core, as Linux counts
it. Out: libgomp's spinning, long or brief.

Alone on a machine threads that spin for milliseconds are the fastest: with those that sleep at once
a training step takes up to a third longer. Beside a busy program a thread that spins holds the core
which the one that it waits for needs, and a step takes two to ten times as long as it must.

libgomp reads its setting once, when it is loaded. But it spins briefly while a process has more of
its threads than there are cores, so a further team of threads, asleep, is the switch.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from kit.machine.openmp import affine_cores, spinning_is_set

_TASKS = Path("/proc/self/task")
_SECONDS = 1.0  # between two looks
# Seconds in which threads had no core, for each in which the busiest of them ran or could have. On
# two cores a program that is always busy makes 0.75 of them, and then a training step takes 0.6 of
# the time with brief spinning; one that is busy half of the time makes 0.3, and it takes 1.3 times.
_CROWDED = 0.4
_TOO_LITTLE = 0.1  # seconds of work that say nothing
_GRAIN = 32_768  # numbers that torch leaves to one thread


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds in which a thread ran, and in which it was ready to run and had no core."""

    ran: float
    waited: float

    def minus(self, before: "Times | None") -> "Times":
        """What came to these since `before`, or since the thread began."""
        return Times(self.ran - before.ran, self.waited - before.waited) if before else self


class Spinning:
    """Switches the spinning of this process's threads.

    Args:
        times: those of each thread, by its name.
        clock: in seconds; only differences count.
    """

    def __init__(
        self, times: Callable[[], dict[str, Times]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._times = times
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = clock()
        self._seen = times()
        self._end: threading.Event | None = None

    @property
    def brief(self) -> bool:
        """Whether threads spin briefly now."""
        return self._end is not None

    def adapt(self) -> None:
        """Switch, if the cores became crowded or are so no more since the last look.

        For whoever computes, between two pieces of work. It looks once a second. Where the user has
        said how threads wait, or Linux does not count what they lack, it does nothing.
        """
        if spinning_is_set() or not self._lock.acquire(blocking=False):
            return
        try:
            if self._clock() - self._looked >= _SECONDS:
                self._look()
        finally:
            self._lock.release()

    def _look(self) -> None:
        before, self._seen = self._seen, self._times()
        self._looked = self._clock()
        since = [now.minus(before.get(thread)) for thread, now in self._seen.items()]
        longest = max((each.ran + each.waited for each in since), default=0)
        if longest < _TOO_LITTLE:
            return
        crowded = sum(each.waited for each in since) > _CROWDED * longest
        if crowded and self._end is None:
            self._end = threading.Event()
            with suppress(RuntimeError):  # the system grants no more threads
                for _ in range(_teams(torch.get_num_threads(), affine_cores())):
                    threading.Thread(target=_hold_team, args=(self._end,), daemon=True).start()
        elif self._end is not None and not crowded:
            self._end.set()
            self._end = None


def thread_times() -> dict[str, Times]:
    """The times of each thread of this process; empty where the system does not count them."""
    found = {}
    try:
        for thread in os.listdir(_TASKS):
            try:
                ran, waited, _ = (_TASKS / thread / "schedstat").read_text().split()
            except (FileNotFoundError, ProcessLookupError):  # it has ended since
                continue
            found[thread] = Times(int(ran) / 1e9, int(waited) / 1e9)
    except (OSError, ValueError):
        return {}
    return found


SPINNING = Spinning(thread_times)
"""That of this process."""


def _teams(threads: int, cores: int) -> int:
    """How many teams, beside that of the caller, make more threads than cores."""
    return 0 if threads < 2 else (cores - threads) // (threads - 1) + 1


def _hold_team(end: threading.Event) -> None:
    """Have libgomp start a team for this thread, which sleeps with it until the end."""
    torch.empty(torch.get_num_threads() * _GRAIN).fill_(0)
    end.wait()
