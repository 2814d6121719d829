"""What reads the pairs of a work folder: the pack if there is one, the tiles otherwise."""

from collections.abc import Sequence
from pathlib import Path

from kit.pairs.pack_pairs import PackPairs
from kit.pairs.pair_reader import PairReader
from kit.pairs.shard import PACK
from kit.pairs.table import Pair
from kit.pairs.tile_pairs import TilePairs


def open_pairs(work: Path, pairs: Sequence[Pair]) -> PairReader:
    """What reads these pairs; tiles and pack give the same pixels.

    Args:
        work: the folder that `kit.pairs.prepare` wrote.
        pairs: those that will be asked for.

    Raises:
        InputError: there is a pack, but it is damaged or lacks a pair.
    """
    folder = work / PACK
    # The lock alone is no pack.
    if folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        return PackPairs(folder, pairs)
    return TilePairs()
