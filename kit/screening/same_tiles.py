"""Tables of several folders of tiles do not mix.

In: a folder of tiles, and a work folder. Refused: one that holds the pairs of other tiles.
"""

import sys
from pathlib import Path

import pyarrow as pa

from kit.errors import BusyError, InputError
from kit.storage.files import PAIRS
from kit.storage.seal import read_table
from kit.tiles.netcdf import file_of, parse_file
from kit.tiles.scenes import FOLDERS

_TRIED = 100  # pairs that are looked for
_COLUMN = pa.schema([("radar_paths", pa.list_(pa.string()))])


def check_same_tiles(data: Path, work: Path) -> None:
    """Refuse a folder that has none of the tiles of the pairs in the work folder.

    Tiles are the same where their names are: they may have been moved.

    Raises:
        BusyError: the pairs are of other tiles.
    """
    try:
        table = read_table(work / PAIRS, sys.maxsize, _COLUMN, missing="", damaged="")
    except InputError:  # whatever is wrong with them, kit prepare makes them again
        return
    paths = table[0].take([*range(0, len(table), max(1, len(table) // _TRIED))]).to_pylist()
    files = [Path(file_of(parse_file(bands[0]))) for bands in paths if bands]
    names = [Path(folder, file.name) for folder in FOLDERS for file in files]
    there = data.name in map(str, names) or any((data / name).exists() for name in names)
    if data.exists() and files and not there:
        raise BusyError(
            f"{work / PAIRS}: holds pairs of other tiles, such as {files[0]}\n"
            "  give --work another folder, or run kit prepare, which replaces the pairs too"
        )
