"""Where parts of a long job run: in threads here, or on a dask.distributed cluster.

In: the address of a scheduler, or none. Out: an executor as in `concurrent.futures`. Refused: an
address at which nothing answers; an address where dask.distributed is not installed.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from kit.core import cores
from kit.errors import InputError

_SECONDS_TO_ANSWER = 15


@dataclass(frozen=True, slots=True)
class Workers:
    """An executor, how many tasks to keep it busy with, and how many threads a task may use.

    `address` is the scheduler's if tasks run elsewhere.
    """

    executor: Executor
    tasks: int
    threads: int
    address: str | None = None


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
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--scheduler", "needs dask.distributed, which is not installed",
                         "pip install 'sar-to-optical-kit[cluster]'") from None  # fmt: skip
    try:
        client = Client(scheduler, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        problem = f"{scheduler} does not answer ({error})"
        remedy = "start one with dask scheduler, or leave the option out"
        raise InputError("--scheduler", problem, remedy) from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError("--scheduler", f"{scheduler} has no workers",
                             f"start them with dask worker {scheduler}")  # fmt: skip
        yield Workers(client.get_executor(pure=False, retries=3), 2 * threads, 1, scheduler)
