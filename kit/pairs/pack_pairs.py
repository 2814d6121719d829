"""The pixels of pairs, memory-mapped from a pack and read with no copy.

In: `work/pack/` as `kit.pairs.pack` writes it, and the pairs that are needed. Refused by name: what
`kit.pairs.shard` refuses; a pack without a pair that is needed; when it is first read, a pair whose
pixels are not what was packed, or whose tiles have changed since.
"""

import resource
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.pair_reader import Pixels
from kit.pairs.shard import (
    AGAIN,
    ARRAYS,
    PackedPair,
    Shard,
    checksum,
    name_of,
    read_shards,
)
from kit.pairs.table import Pair
from kit.tiles.fingerprint import digest
from kit.tiles.reader import read_scene

# Files that a process may open beside a pack's, and those that it always does: torch's, say.
_OTHER_FILES, _FEWEST_OTHERS = 512, 128


class PackPairs:
    """The pixels of pairs from a pack. Any number of threads may read at a time.

    Args:
        folder: the pack.
        pairs: those that will be asked for.

    Raises:
        InputError: a shard is damaged or of a newer format, or a pair is missing.
    """

    def __init__(self, folder: Path, pairs: Sequence[Pair]) -> None:
        self._places: dict[str, tuple[Shard, int]] = {}
        for shard in read_shards(folder):
            for row, packed in enumerate(shard.pairs):
                self._places[packed.pair] = shard, row
        names = [name_of(pair) for pair in pairs]
        if missing := [name for name in names if name not in self._places]:
            problem = f"lacks {len(missing)} of the {len(pairs)} pairs needed, {missing[0]} first"
            raise InputError(folder, problem, remedy=AGAIN)
        used = {shard.number: shard for shard, _ in map(self._places.__getitem__, names)}
        self._maps = _Maps(_may_open(len(ARRAYS) * len(used)) // len(ARRAYS))
        for shard in used.values():
            self._maps.of(shard)
        self._checked: set[str] = set()

    @contextmanager
    def pixels(self, pair: Pair) -> Iterator[Pixels]:
        """Views of a pair's pixels, which are checked when this process first reads them.

        Raises:
            InputError: the pixels are not those that were packed, or the tiles have changed since.
        """
        name = name_of(pair)
        shard, row = self._places[name]
        radar, optical = (array[row] for array in self._maps.of(shard))
        if name not in self._checked:
            self._check(pair, shard, shard.pairs[row], (radar, optical))
            self._checked.add(name)
        yield radar, optical

    def _check(self, pair: Pair, shard: Shard, packed: PackedPair, pixels: Pixels) -> None:
        if (shard.height, shard.width) != (pair.height, pair.width):
            problem = f"pair {packed.pair} is {shard.height}x{shard.width}, in the table "
            raise InputError(shard.index, f"{problem}{pair.height}x{pair.width}", remedy=AGAIN)
        if checksum(*pixels) != packed.crc32:
            problem = f"the pixels of pair {packed.pair} are damaged: their checksum does not match"
            raise InputError(shard.array("radar"), problem, remedy=shard.remedy)
        # Without the tiles, on another machine say, the pack stands for itself.
        if not holds(packed, pair):
            problem = f"the tiles of pair {packed.pair} are not those that were packed"
            raise InputError(shard.index, problem, remedy=AGAIN)


def holds(packed: PackedPair, pair: Pair) -> bool:
    """Whether the tiles of a pair are those that were packed, or are gone.

    Size and time of each say so, and its ctime says that it was not replaced by another one of
    both. Where ctime alone differs, after a copy say, the pixels are compared.
    """
    found = digest(pair.paths)
    if found is None:
        return True
    tiles, changed = found
    if tiles != packed.tiles or packed.changed in (0, changed):
        return tiles == packed.tiles
    try:
        radar = read_scene("Sentinel1", pair.radar_paths)
        optical = read_scene("Sentinel2", pair.optical_paths)
    except InputError:
        return False
    return checksum(radar, optical) == packed.crc32


class _Maps:
    """The arrays of shards, mapped when they are asked for; at most `limit` shards at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._open: OrderedDict[int, tuple[NDArray[Any], NDArray[Any]]] = OrderedDict()

    def of(self, shard: Shard) -> tuple[NDArray[Any], NDArray[Any]]:
        """The radar and the optical pixels; who still reads those that are closed keeps them."""
        with self._lock:
            if shard.number not in self._open:
                if len(self._open) >= self._limit:
                    self._open.popitem(last=False)
                self._open[shard.number] = shard.map("radar"), shard.map("optical")
            self._open.move_to_end(shard.number)
            return self._open[shard.number]


def _may_open(files: int) -> int:
    """Let this process keep so many more files open, or as many as this system admits; how many.

    Systems allow 1,024 until they are asked.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(2, min(files, wanted - _FEWEST_OTHERS))
