"""Results in order, a few ahead and no more, and threads that end with their generator."""

import threading
import time
from collections.abc import Iterator

import pytest

from kit.machine.lookahead import map_ahead


def test_results_come_in_order_whichever_is_done_first() -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    squares = map_ahead(slow_at_first, range(20), threads=3, depth=4)
    assert [*squares] == [n * n for n in range(20)]


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_at_most_depth_items_are_begun_early(depth: int) -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for n in range(12):
            begun.append(n)
            yield n

    for done, _ in enumerate(map_ahead(str, items(), threads=2, depth=depth), start=1):
        assert len(begun) == min(done + depth, 12)


def test_what_the_function_raises_is_raised_in_the_place_of_its_result() -> None:
    results = map_ahead(lambda n: 6 // (3 - n), range(6), threads=2, depth=4)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert [*results] == []


@pytest.mark.parametrize("fails", [False, True])
def test_threads_end_when_it_is_left_early(fails: bool) -> None:
    done: list[int] = []

    def work(item: int) -> int:
        time.sleep(0.01)
        done.append(item)
        if fails and item == 2:
            raise ValueError(item)
        return item

    results = map_ahead(work, range(1000), threads=2, depth=50, name="left-early")
    if fails:
        with pytest.raises(ValueError, match="2"):
            list(results)
    else:
        assert next(results) == 0
        results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("left-early")]
    assert len(done) < 50
