"""What Python allocates while something runs.

In: a call. Out: bytes. Threads that other tests have left in the process count too, once in a
while, so that the least of some turns is what the call takes.
"""

import tracemalloc
from collections.abc import Callable

TURNS = 2


def least_peak(run: Callable[[int], object]) -> int:
    """The most bytes that are held while `run` runs, given the number of the turn: the least."""
    return min(_peak(run, turn) for turn in range(TURNS))


def _peak(run: Callable[[int], object], turn: int) -> int:
    tracemalloc.start()
    try:
        run(turn)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
