"""Where the pixels of pairs come from: the pack where there is one, the tiles otherwise.

In: pairs. Out: their raw pixels, dB and DN, one pair at a time and the same from both.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.shards import FOLDER, Pack, Pixels, exists
from kit.pairs.table import Pair
from kit.tiles.bands import File
from kit.tiles.reader import Reader

# For what has none of its own, such as a tile that is gone.
_REMEDY = (
    "put it back and run the same command again; "
    "or run kit prepare DATA again, which leaves its scene out, and train anew"
)

# Threads that make batches while a step is taken: on two cores a second was no faster than one.
WORKERS = 1


class Source:
    """The pixels of pairs, from their tiles unless there is a pack.

    Any number of threads may read at a time; the interpreter is free while tiles are read.
    """

    def __init__(self, pack: Pack | None = None) -> None:
        self._pack = pack
        # Readers keep their buffers: a thread takes a pair of them and puts it back.
        self._readers: deque[tuple[Reader, Reader]] = deque()

    @classmethod
    def open(cls, work: Path, pairs: Sequence[Pair]) -> "Source":
        """The source of these pairs: the pack of the folder that `prepare` wrote, if it has one.

        Raises:
            InputError: there is a pack, but it is damaged or lacks a pair.
        """
        folder = work / FOLDER
        return cls(Pack(folder, pairs) if exists(folder) else None)

    @contextmanager
    def pixels(self, pair: Pair) -> Iterator[Pixels]:
        """The pixels of a pair, to be used inside the block only, and not to be changed.

        Raises:
            InputError: a tile cannot be read or has another size than the table of pairs says; or
                the pack does not hold what was packed.
        """
        if self._pack:
            yield self._pack.pixels(pair)
            return
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
