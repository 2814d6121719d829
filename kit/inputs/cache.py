"""Arrays that are kept while there is room for them, for threads that ask for the same ones."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np
from numpy.typing import NDArray


class ArrayCache:
    """Keeps the arrays that were asked for last, `limit` bytes of them at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, tuple[NDArray[np.generic], int]] = OrderedDict()
        self._bytes = 0

    def get(
        self, key: Hashable, make: Callable[[], tuple[NDArray[np.generic], int]]
    ) -> tuple[NDArray[np.generic], int]:
        """The array of a key with its number, by `make` where it is not kept; not to be changed."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # Two threads may make one array: they would otherwise wait for each other's files.
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += made[0].nbytes
                while self._bytes > self._limit:
                    self._bytes -= self._kept.popitem(last=False)[1][0].nbytes
        return made
