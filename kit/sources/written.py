"""`tiles.jsonl`: what the tiles that were made of images held when they were written.

In: tiles. Out: a line for those of each image, with the size and the CRC-32 of each; and whether a
tile is still as it was. A tile without a line is made again.
"""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

from kit.errors import InputError
from kit.storage.files import append_line
from kit.storage.seal import decode_lines, encode_line

WRITTEN = "tiles.jsonl"
_REMEDY = "remove it, and run the command that made it again: kit prepare DATA, or kit predict"


class Written:
    """The tiles of a folder as they were written, to be added to by any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes = {name: size for name, (size, _) in _read(folder / WRITTEN).items()}
        self._adding = Lock()

    def has(self, path: Path, size: int) -> bool:
        """Whether a tile of this size, in bytes, was written."""
        return self._sizes.get(self._name(path)) == size

    def add(self, files: Mapping[Path, bytes]) -> None:
        """Note what was written.

        Raises:
            OutputError: it cannot be noted.
        """
        tiles = {self._name(path): [len(data), zlib.crc32(data)] for path, data in files.items()}
        with self._adding:
            append_line(self._folder / WRITTEN, encode_line({"tiles": tiles}))
            self._sizes |= {name: size for name, (size, _) in tiles.items()}

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def check_written(path: Path) -> Iterator[InputError]:
    """The tiles beside a file of lines that are not what was written."""
    for name, (size, crc32) in _read(path).items():
        tile = path.parent / name
        try:
            data = b"" if tile.is_symlink() else tile.read_bytes()
        except FileNotFoundError:
            continue  # of an image that is gone
        except OSError as error:
            yield InputError(tile, f"cannot be read ({error.strerror})", remedy=_REMEDY)
            continue
        if not tile.is_symlink() and (len(data), zlib.crc32(data)) != (size, crc32):
            yield InputError(tile, "is not what was written", remedy=_REMEDY)


def _read(path: Path) -> dict[str, tuple[int, int]]:
    """Size and CRC-32 by the tile's name in the folder; of a tile that was made again, the last."""
    try:
        lines = decode_lines(path.read_bytes())
    except FileNotFoundError:
        return {}
    found: dict[str, tuple[int, int]] = {}
    for _, line in lines:
        tiles = line.get("tiles") if line else None
        for name, noted in tiles.items() if isinstance(tiles, dict) else ():
            if isinstance(noted, list) and [*map(type, noted)] == [int, int]:
                found[name] = noted[0], noted[1]
    return found
