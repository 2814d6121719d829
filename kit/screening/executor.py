"""Where the tasks of a long job run: in threads here, or on a dask.distributed cluster.

In: the address of a scheduler, or none. Out: an executor of tasks. Refused: an address at which
nothing answers, or which has no workers or loses them; any address if dask.distributed is not
installed.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kit.errors import InputError
from kit.machine.cores import cores

_SECONDS_TO_ANSWER = 15
_SECONDS_WITHOUT_WORKERS = 60
_SECONDS_BETWEEN_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Workers:
    """What runs tasks, how many of them keep it busy, and how many threads each may use.

    `address` is the scheduler's if they run elsewhere, and `count` asks how many workers it has.
    """

    executor: Executor
    tasks: int
    threads: int
    address: str | None = None
    count: Callable[[], int] = lambda: 1

    def first_done(self, tasks: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Wait until one of the tasks is done; returns those that are.

        Raises:
            InputError: the cluster has been without workers for a minute.
        """
        seen = time.monotonic()
        while not (done := wait(tasks, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED).done):
            if self.count():
                seen = time.monotonic()
            elif time.monotonic() - seen > _SECONDS_WITHOUT_WORKERS:
                raise self._lost("has lost all its workers")
        return done

    def result(self, task: Future[Any]) -> Any:
        """What a task returned.

        Raises:
            InputError: the task raised it, or the cluster lost the task.
        """
        try:
            return task.result()
        except InputError:
            raise
        except BaseException as error:
            # dask cancels what it loses, and raises its own exceptions for the rest.
            if self.address is None or isinstance(error, KeyboardInterrupt):
                raise
            raise self._lost(f"lost a task ({type(error).__name__}: {error})") from error

    def _lost(self, problem: str) -> InputError:
        remedy = "see its log, and run the same command again: finished parts are kept"
        return InputError(f"scheduler {self.address}", problem, remedy=remedy)


@contextmanager
def workers(scheduler: str | None) -> Iterator[Workers]:
    """The workers of the cluster at `scheduler`, or two threads of this process.

    A task that a lost worker had is done again by another one.

    Raises:
        InputError: no scheduler answers at the address, it has no workers, or dask.distributed is
            not installed.
    """
    if scheduler is None:
        # While one task waits for its core, the other prepares or stores.
        executor = ThreadPoolExecutor(max_workers=2)
        try:
            yield Workers(executor, 2, cores())
        finally:
            executor.shutdown(cancel_futures=True)
        return
    where = f"scheduler {scheduler}"
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            where,
            "needs dask.distributed, which is not installed",
            remedy="pip install 'sar-to-optical-kit[cluster]'",
        ) from None
    remedy = "start one with dask scheduler, or omit --scheduler"
    try:
        if not urlsplit(scheduler if "//" in scheduler else f"//{scheduler}").port:
            raise ValueError("no port")
        client = Client(scheduler, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        problem = f"does not answer ({error})"
        raise InputError(
            where, problem, remedy=f"{remedy}; an address is tcp://host:8786"
        ) from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(
                where, "has no workers", remedy=f"start them with dask worker {scheduler}"
            )
        executor = client.get_executor(pure=False, retries=3)
        yield Workers(executor, 2 * threads, 1, scheduler, lambda: len(client.nthreads()))
