"""The pack: pixels of pairs as memory-mapped arrays, read with no copy.

In: `work/pack/` as `kit.pairs.pack` writes it, and the pairs that are wanted of it. Out: views of
their raw pixels. A shard holds pairs of one size: `NNNNN.radar.npy` float32 dB [n, 2, H, W],
`NNNNN.optical.npy` uint16 DN [n, 3, H, W], and `NNNNN.json`, which names the pairs in order, each
with its checksum and a digest of what its tiles were like on disk. Refused by name: a shard that is
damaged, cut short or of a newer format; a pack without a pair that is wanted; at its first reading
a pair whose pixels are not what was packed, or whose tiles have changed since.
"""

import json
import math
import resource
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import read_array, read_json, write_json
from kit.pairs.table import Pair
from kit.tiles.fingerprint import digest
from kit.tiles.names import RGB_BANDS, S1_BANDS

FOLDER = "pack"
AGAIN = "run kit pack again, or remove the folder to read the tiles"
_FORMAT = 1
_HEADER = 128  # what numpy writes before the pixels of an array of this kind
ARRAYS: dict[str, tuple[int, np.dtype[Any]]] = {
    "radar": (len(S1_BANDS), np.dtype("<f4")),
    "optical": (len(RGB_BANDS), np.dtype("<u2")),
}

_OTHER_FILES = 512  # that a process may open beside a pack's

Pixels = tuple[NDArray[np.float32], NDArray[np.uint16]]
"""Of one pair: radar [2, H, W] in dB, as VV and VH, and optical [3, H, W] in DN, as B4, B3, B2."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a shard notes of a pair: its name, its tiles as they were, the CRC-32 of its pixels."""

    pair: str
    tiles: str
    crc32: int


@dataclass(frozen=True, slots=True)
class Shard:
    """The files of one shard, and what its JSON says."""

    folder: Path
    number: int
    height: int
    width: int
    entries: tuple[Entry, ...]

    def array(self, name: str) -> Path:
        """The file of the "radar" or the "optical" pixels."""
        return self.folder / f"{self.number:05d}.{name}.npy"

    @property
    def index(self) -> Path:
        """The JSON, which is written last: a shard without it is none."""
        return self.folder / f"{self.number:05d}.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the shard, the JSON first."""
        return self.index, *map(self.array, ARRAYS)

    def shape(self, name: str) -> tuple[int, int, int, int]:
        """Of the array in that file."""
        return len(self.entries), ARRAYS[name][0], self.height, self.width

    def array_bytes(self, name: str) -> int:
        """How long that file is."""
        return _HEADER + math.prod(self.shape(name)) * ARRAYS[name][1].itemsize

    def is_whole(self) -> bool:
        """Whether the arrays are there and as long as they must be."""
        try:
            return all(self.array(x).stat().st_size == self.array_bytes(x) for x in ARRAYS)
        except OSError:
            return False

    def write_index(self) -> None:
        """Write the JSON.

        Raises:
            OutputError: there is no room for it.
        """
        about = {
            "height": self.height,
            "width": self.width,
            "pairs": [asdict(entry) for entry in self.entries],
        }
        write_json(self.index, {"format": _FORMAT, "crc32": _checksum(about), "about": about})

    def map(self, name: str) -> NDArray[Any]:
        """The pixels [n, bands, H, W], mapped from the file.

        Raises:
            InputError: the file is missing, cut short or damaged.
        """
        path = self.array(name)
        pixels = read_array(path, AGAIN)
        if pixels.shape != self.shape(name) or pixels.dtype != ARRAYS[name][1]:
            problem = f"holds {pixels.dtype} {pixels.shape} where {self.index.name} says otherwise"
            raise InputError(path, problem, remedy=_anew(self))
        return pixels


class Pack:
    """The pixels of pairs in a pack. Any number of threads may read at a time.

    Args:
        folder: the pack.
        pairs: those that will be asked for.

    Raises:
        InputError: a shard is damaged or of a newer format, or a pair is missing.
    """

    def __init__(self, folder: Path, pairs: Sequence[Pair]) -> None:
        self._places: dict[str, tuple[Shard, int]] = {}
        for shard in read_shards(folder):
            for row, entry in enumerate(shard.entries):
                self._places[entry.pair] = shard, row
        names = [name_of(pair) for pair in pairs]
        if missing := [name for name in names if name not in self._places]:
            problem = f"lacks {len(missing)} of the {len(pairs)} pairs wanted, first {missing[0]}"
            raise InputError(folder, problem, remedy=AGAIN)
        used = {shard.number: shard for shard, _ in map(self._places.__getitem__, names)}
        _may_open(folder, len(ARRAYS) * len(used))
        self._arrays = {
            number: (shard.map("radar"), shard.map("optical")) for number, shard in used.items()
        }
        self._checked: set[str] = set()

    def pixels(self, pair: Pair) -> Pixels:
        """Views of a pair's pixels, which are checked when this process first reads them.

        Raises:
            InputError: the pixels are not those that were packed, or the tiles have changed since.
        """
        name = name_of(pair)
        shard, row = self._places[name]
        radar, optical = (array[row] for array in self._arrays[shard.number])
        if name not in self._checked:
            self._check(pair, shard, shard.entries[row], (radar, optical))
            self._checked.add(name)
        return radar, optical

    def _check(self, pair: Pair, shard: Shard, entry: Entry, pixels: Pixels) -> None:
        if (shard.height, shard.width) != (pair.height, pair.width):
            problem = f"pair {entry.pair} is {shard.height}x{shard.width}, in the table "
            raise InputError(shard.index, f"{problem}{pair.height}x{pair.width}", remedy=AGAIN)
        if checksum(*pixels) != entry.crc32:
            problem = f"the pixels of pair {entry.pair} are damaged: their checksum is another"
            raise InputError(shard.array("radar"), problem, remedy=_anew(shard))
        # Without the tiles, on another machine say, the pack stands for itself.
        if digest(pair.paths) not in (None, entry.tiles):
            problem = f"the tiles of pair {entry.pair} are not those that were packed"
            raise InputError(shard.index, problem, remedy=AGAIN)


def exists(folder: Path) -> bool:
    """Whether there is a pack, or part of one; the lock alone is none."""
    return folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir())


def read_shards(folder: Path) -> Iterator[Shard]:
    """The shards of a pack, in order.

    Raises:
        InputError: the JSON of a shard is damaged or of another format.
    """
    for path in sorted(folder.glob("*.json")):
        yield read_shard(path)


def read_shard(path: Path) -> Shard:
    """The shard that a JSON describes.

    Raises:
        InputError: it is missing, damaged or of another format.
    """
    remedy = f"remove {path} and run kit pack again"
    noted = read_json(path, remedy)
    if not isinstance(noted, dict) or "format" not in noted:
        raise InputError(path, "not what kit pack writes", remedy=remedy)
    if noted["format"] != _FORMAT:
        problem = f"has format {noted['format']!r}, and this kit reads {_FORMAT}"
        raise InputError(path, problem, remedy="install the kit that packed it, or " + AGAIN)
    about: Any = noted.get("about")
    if not path.stem.isdigit() or noted.get("crc32") != _checksum(about):
        raise InputError(path, "damaged: its checksum is another", remedy=remedy)
    entries = tuple(Entry(**entry) for entry in about["pairs"])
    return Shard(path.parent, int(path.stem), about["height"], about["width"], entries)


def name_of(pair: Pair) -> str:
    """The pair's two scenes."""
    return f"{pair.radar} {pair.optical}"


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


def checksum(radar: NDArray[np.float32], optical: NDArray[np.uint16]) -> int:
    """CRC-32 of a pair's pixels, radar first; both contiguous."""
    return zlib.crc32(optical.data, zlib.crc32(radar.data))


def _checksum(about: Any) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _anew(shard: Shard) -> str:
    return f"remove {shard.index} and run kit pack again, which makes this shard anew"
