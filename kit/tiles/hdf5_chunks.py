"""Chunks of an HDF5 dataset, read as they are on disk and inflated here.

In: a dataset of one chunk for each index that is deflated, shuffled, both or neither. Out: the
pixels at one index. HDF5 inflates one chunk at a time, whoever asks; bytes are read in no time, and
inflated by as many threads as there are.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DEFLATE, _SHUFFLE = 1, 2  # the numbers of HDF5's filters
_KNOWN: tuple[list[int], ...] = ([], [_SHUFFLE], [_DEFLATE], [_SHUFFLE, _DEFLATE])


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of a dataset, numbered along one axis."""

    dataset: Any
    axis: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    deflated: bool
    shuffled: bool

    @classmethod
    def of(cls, dataset: Any, axis: int) -> "Chunks | None":
        """The chunks of a dataset that is stored in this way; None for any other."""
        one = tuple(1 if i == axis else size for i, size in enumerate(dataset.shape))
        made = dataset.id.get_create_plist()
        filters = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
        if dataset.chunks != one or filters not in _KNOWN:
            return None
        return cls(dataset, axis, one, dataset.dtype, _DEFLATE in filters, _SHUFFLE in filters)

    def raw(self, index: int) -> bytes | None:
        """The bytes of one chunk; None if it was never written, or left out one of the filters."""
        at = tuple(index if axis == self.axis else 0 for axis in range(len(self.shape)))
        try:
            skipped, raw = self.dataset.id.read_direct_chunk(at)
        except (OSError, RuntimeError, ValueError):
            return None
        return None if skipped else bytes(raw)

    def pixels(self, raw: bytes) -> NDArray[np.generic]:
        """The array of a chunk, with all axes of the dataset.

        This asks nothing of HDF5.

        Raises:
            ValueError: it has another length than it should.
            zlib.error: it is damaged.
        """
        size = math.prod(self.shape) * self.dtype.itemsize
        # Never more than that: a few bytes can inflate to gigabytes.
        data = zlib.decompressobj().decompress(raw, size + 1) if self.deflated else raw
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes where {size} should be")
        if not self.shuffled:
            return np.frombuffer(data, self.dtype).reshape(self.shape)
        # The first bytes of all numbers come first, then all second ones.
        columns = np.frombuffer(data, np.uint8).reshape(self.dtype.itemsize, -1)
        numbers = np.empty(columns.shape[::-1], np.uint8)
        for byte, column in enumerate(columns):
            numbers[:, byte] = column
        return numbers.reshape(-1).view(self.dtype).reshape(self.shape)
