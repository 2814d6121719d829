"""The pixels of pairs, memory-mapped from a pack and read with no copy.

In: `work/pack/` as `kit.pairs.pack` writes it, and the pairs that are needed. Refused by name: what
`kit.pairs.shard` refuses; a pack without a pair that is needed; when it is first read, a pair whose
pixels are not what was packed, or whose tiles have changed since.
"""

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit.errors import InputError
from kit.pairs.shard import (
    AGAIN,
    ARRAYS,
    PackedPair,
    Shard,
    checksum,
    name_of,
    read_shards,
)
from kit.pairs.source import Pixels
from kit.pairs.table import Pair
from kit.tiles.fingerprint import digest

_OTHER_FILES = 512  # that a process may open beside a pack's


class PackSource:
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
        _may_open(folder, len(ARRAYS) * len(used))
        self._arrays = {
            number: (shard.map("radar"), shard.map("optical")) for number, shard in used.items()
        }
        self._checked: set[str] = set()

    @contextmanager
    def pixels(self, pair: Pair) -> Iterator[Pixels]:
        """Views of a pair's pixels, which are checked when this process first reads them.

        Raises:
            InputError: the pixels are not those that were packed, or the tiles have changed since.
        """
        name = name_of(pair)
        shard, row = self._places[name]
        radar, optical = (array[row] for array in self._arrays[shard.number])
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
        if digest(pair.paths) not in (None, packed.tiles):
            problem = f"the tiles of pair {packed.pair} are not those that were packed"
            raise InputError(shard.index, problem, remedy=AGAIN)


def _may_open(folder: Path, files: int) -> None:
    """Let this process keep so many more files open; systems allow 1,024 until they are asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            problem = f"its {files} files cannot all be open: this system allows {hard}"
            raise InputError(
                folder, problem, remedy=f"raise the limit: ulimit -Hn {wanted}, as root"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
