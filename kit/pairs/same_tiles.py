"""Tables of several folders of tiles do not mix.

In: a folder of tiles, and a work folder. Refused: one that holds the pairs of other tiles.
"""

from pathlib import Path

from kit.errors import BusyError, InputError
from kit.pairs.table import PAIRS, read_pairs
from kit.tiles.netcdf import Plane
from kit.tiles.scenes import FOLDERS

_TRIED = 100  # pairs that are looked for


def check_same_tiles(data: Path, work: Path) -> None:
    """Refuse a folder that has none of the tiles of the pairs in the work folder.

    Tiles are the same where their names are: they may have been moved.

    Raises:
        BusyError: the pairs are of other tiles.
    """
    try:
        pairs = read_pairs(work / PAIRS)
    except InputError:  # whatever is wrong with them, kit prepare makes them again
        return
    tiles = [pair.paths[0] for pair in pairs[:: max(1, len(pairs) // _TRIED)]]
    files = [Path(tile.file) if isinstance(tile, Plane) else tile for tile in tiles]
    names = [Path(folder, file.name) for folder in FOLDERS for file in files]
    there = data.name in map(str, names) or any((data / name).exists() for name in names)
    if data.exists() and files and not there:
        raise BusyError(
            f"{work / PAIRS}: holds pairs of other tiles, such as {files[0]}\n"
            "  give --work another folder, or run kit prepare, which replaces the pairs too"
        )
