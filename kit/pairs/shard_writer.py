"""The tiles of some pairs -> one shard of the pack, and its checksums.

In: the shard as it should be, and its pairs. Out: its files; the JSON comes last, so that a shard
that was interrupted is not there. A shard with a tile that cannot be read is not written.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.shard import ARRAYS, Shard
from kit.pairs.table import Pair
from kit.storage.files import together
from kit.tiles.names import SENSORS
from kit.tiles.netcdf import file_of
from kit.tiles.reader import Batch, Reader


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard as it should be, without checksums, and its pairs."""

    shard: Shard
    pairs: tuple[Pair, ...]


class _Unreadable(Exception):
    """Tiles of a shard cannot be read: it is not made."""

    def __init__(self, faults: list[InputError]) -> None:
        super().__init__(faults)
        self.faults = faults


def write_shard(task: ShardTask, reader: Reader, report: Callable[[int], None]) -> list[InputError]:
    """Write one shard, unless a tile cannot be read; then the reasons are returned.

    A shard that is there stays until the new one is complete.
    """
    if missing := list(_missing(task)):
        return missing
    try:
        with together(task.shard.folder) as new:
            # The JSON gets its name last: what it describes is then there.
            parts = [new(path.name) for path in reversed(task.shard.files)]
            _write(replace(task.shard, folder=parts[0].parent), task, reader, report)
    except _Unreadable as found:
        return found.faults
    return []


def _write(shard: Shard, task: ShardTask, reader: Reader, report: Callable[[int], None]) -> None:
    """Write the files of `shard`, which are those of `task.shard` in another folder."""
    checks = [0] * len(task.pairs)
    for step, name in enumerate(ARRAYS):
        with shard.array(name).open("wb") as file:
            form = {"descr": ARRAYS[name][1].str, "fortran_order": False}
            np.lib.format.write_array_header_1_0(file, form | {"shape": shard.shape(name)})
            for start, pixels in _read(task, name, reader):
                for row, image in enumerate(pixels, start):
                    checks[row] = zlib.crc32(image, checks[row])
                file.write(pixels.data)
                report((start + len(pixels) + step * len(task.pairs)) // len(ARRAYS))
    packed = zip(shard.pairs, checks, strict=True)
    pairs = tuple(replace(pair, crc32=check) for pair, check in packed)
    replace(shard, pairs=pairs).write_index()


def _missing(task: ShardTask) -> Iterator[InputError]:
    """The errors of tiles that are missing; an older shard is not given up for such a one."""
    for pair, packed in zip(task.pairs, task.shard.pairs, strict=True):
        if not packed.tiles:
            for path in (*pair.radar_paths, *pair.optical_paths):
                if not os.path.exists(file_of(path)):
                    yield InputError(str(path), "no such file")


def _read(task: ShardTask, name: str, reader: Reader) -> Iterator[tuple[int, NDArray[Any]]]:
    """The pixels of a shard's pairs in order, some at a time, with the index of the first.

    Raises:
        _Unreadable: some tiles of the shard cannot be read; all of them are named.
    """
    bands, dtype = ARRAYS[name]
    shape = (bands, task.shard.height, task.shard.width)
    paths = [getattr(pair, f"{name}_paths") for pair in task.pairs]
    faults: list[InputError] = []
    for start, batches, errors in reader.read_all(SENSORS[name], paths):
        faults += [errors[i] for i in sorted(errors)]
        faults += [
            _other_size(paths[start + i][0], batch.pixels.shape[2:], shape[1:])
            for batch in batches
            if batch.pixels.shape[1:] != shape
            for i in batch.indices
        ]
        if not faults:
            yield start, _in_order(batches).astype(dtype, copy=False)
    if faults:
        raise _Unreadable(faults)


def _in_order(batches: Sequence[Batch]) -> NDArray[Any]:
    """The pixels of batches of one size, sorted by their indices."""
    if len(batches) == 1:
        return batches[0].pixels
    count = sum(len(batch.indices) for batch in batches)
    pixels = np.empty((count, *batches[0].pixels.shape[1:]), batches[0].pixels.dtype)
    for batch in batches:
        pixels[list(batch.indices)] = batch.pixels
    return pixels


def _other_size(path: str, found: Sequence[int], wanted: Sequence[int]) -> InputError:
    problem = f"is {found[0]}x{found[1]}, in the table of pairs {wanted[0]}x{wanted[1]}"
    return InputError(path, problem)
