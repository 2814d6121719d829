"""`tiles.jsonl`: what the tiles that were made of images held when they were written.

In: tiles. Out: a line for those of each image, with the size and the CRC-32 of each; and whether a
tile is still as it was. A tile without a line is made again. Lines are added as tiles are written,
and put in order when all are.
"""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

from kit.errors import InputError
from kit.storage.files import append_line, write_bytes
from kit.storage.seal import decode_lines, encode_line

WRITTEN = "tiles.jsonl"
_TILES = "tiles"
_Image = dict[str, tuple[int, int]]
"""Size and CRC-32 of the tiles of an image, by their names in the folder."""
_REMEDY = "remove it, and run the command that made it again: kit prepare DATA, or kit predict"


class Written:
    """The tiles of a folder as they were written, to be added to by any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images = _read(folder / WRITTEN)
        self._tiles = _tiles(self._images)
        self._adding = Lock()

    def has(self, path: Path, size: int) -> bool:
        """Whether a tile of this size, in bytes, was written."""
        return self._tiles.get(self._name(path), (-1, 0))[0] == size

    def add(self, files: Mapping[Path, bytes]) -> None:
        """Note what was written.

        Raises:
            OutputError: it cannot be noted.
        """
        tiles = {self._name(path): (len(data), zlib.crc32(data)) for path, data in files.items()}
        with self._adding:
            append_line(self._folder / WRITTEN, encode_line({_TILES: tiles}))
            self._images[min(tiles)] = tiles
            self._tiles |= tiles

    def finish(self) -> None:
        """Have the lines of the tiles that are there alone, in order.

        Raises:
            OutputError: they cannot be written.
        """
        lines = [
            encode_line({_TILES: tiles})
            for first, tiles in sorted(self._images.items())
            if (self._folder / first).exists()
        ]
        path, data = self._folder / WRITTEN, b"".join(lines)
        if lines and data != path.read_bytes():
            write_bytes(path, data)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def check_written(path: Path) -> Iterator[InputError]:
    """The tiles beside a file of lines that are not what was written."""
    for name, (size, crc32) in _tiles(_read(path)).items():
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


def _read(path: Path) -> dict[str, _Image]:
    """What the last line of each image says, by the first of its tiles' names."""
    try:
        lines = decode_lines(path.read_bytes())
    except FileNotFoundError:
        return {}
    found: dict[str, _Image] = {}
    for _, line in lines:
        tiles = line.get(_TILES) if line else None
        if isinstance(tiles, dict) and tiles and all(map(_is_noted, tiles.values())):
            found[min(tiles)] = {name: (size, crc32) for name, (size, crc32) in tiles.items()}
    return found


def _is_noted(value: object) -> bool:
    return isinstance(value, list) and [*map(type, value)] == [int, int]


def _tiles(images: Mapping[str, _Image]) -> _Image:
    return {name: noted for tiles in images.values() for name, noted in tiles.items()}
