"""Work done by threads a few items before its results are asked for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    depth: int,
    name: str = "ahead",
) -> Generator[Result, None, None]:
    """`map` in threads, in order, with at most `depth` results ready or in the making.

    Its threads end with it; whoever leaves it early has to close it.

    Args:
        function: called in the threads; what it raises is raised in the place of its result.
        items: asked for as they are needed, in the caller's thread.
        threads: how many.
        depth: how many items are begun before their results are asked for.
        name: of the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
