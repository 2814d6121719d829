"""The pixels of pairs, read from their tiles."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.pair_reader import Pixels
from kit.pairs.table import Pair
from kit.tiles.netcdf import File
from kit.tiles.reader import Reader

# For errors without one, such as a tile that is missing.
_REMEDY = (
    "put it back and run the same command again; "
    "or run kit prepare DATA again, which leaves its scene out, and train again"
)


class TilePairs:
    """The pixels of pairs from their tiles; the interpreter is free while tiles are read."""

    def __init__(self) -> None:
        # Readers keep their buffers: a thread removes a pair of them and puts it back.
        self._readers: deque[tuple[Reader, Reader]] = deque()

    @contextmanager
    def pixels(self, pair: Pair) -> Iterator[Pixels]:
        """The pixels of a pair, to be used inside the block only, and not to be changed.

        Raises:
            InputError: a tile cannot be read, or has another size than the table of pairs says.
        """
        try:
            readers = self._readers.pop()
        except IndexError:
            readers = Reader(1), Reader(1)
        try:
            radar = _read(readers[0], "Sentinel1", pair.radar_paths, pair)
            optical = _read(readers[1], "Sentinel2", pair.optical_paths, pair)
            yield radar, optical
        finally:
            self._readers.append(readers)


def _read(reader: Reader, sensor: str, files: Sequence[File], pair: Pair) -> NDArray[Any]:
    batches, errors = reader.read(sensor, [files])
    if errors:
        raise InputError(errors[0].where, errors[0].problem, remedy=errors[0].remedy or _REMEDY)
    pixels: NDArray[Any] = batches[0].pixels[0]
    if pixels.shape[1:] != (pair.height, pair.width):
        height, width = pixels.shape[1:]
        problem = f"is {height}x{width}, in the table of pairs {pair.height}x{pair.width}"
        raise InputError(str(files[0]), problem, remedy="run kit prepare DATA again")
    return pixels
