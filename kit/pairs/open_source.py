"""The source of pairs in a work folder: the pack if there is one, the tiles otherwise."""

from collections.abc import Sequence
from pathlib import Path

from kit.pairs.pack_source import PackSource
from kit.pairs.shard import FOLDER
from kit.pairs.source import Source
from kit.pairs.table import Pair
from kit.pairs.tile_source import TileSource


def open_source(work: Path, pairs: Sequence[Pair]) -> Source:
    """The source of these pairs; both kinds give the same pixels.

    Args:
        work: the folder that `kit.pairs.prepare` wrote.
        pairs: those that will be asked for.

    Raises:
        InputError: there is a pack, but it is damaged or lacks a pair.
    """
    folder = work / FOLDER
    # The lock alone is no pack.
    if folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        return PackSource(folder, pairs)
    return TileSource()
