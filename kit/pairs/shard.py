"""A shard: the pixels of some pairs of one size, in files of the folder `work/pack/`.

`NNNNN.radar.npy` is float32 dB [n, 2, H, W], `NNNNN.optical.npy` uint16 DN [n, 3, H, W], and
`NNNNN.json` names the pairs in order, each with its checksum and a digest of its tiles on disk.
Refused by name: a shard that is damaged, cut short or of a newer format.
"""

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.pairs.table import Pair
from kit.storage.arrays import read_array
from kit.storage.files import read_json, write_json
from kit.tiles.names import RGB_BANDS, S1_BANDS

PACK = "pack"
AGAIN = "run kit pack again, or remove the folder to read the tiles"
_FORMAT = 2
_OLDEST = 1  # without `changed`
_HEADER = 128  # what numpy writes before the pixels of an array of this kind
ARRAYS: dict[str, tuple[int, np.dtype[Any]]] = {
    "radar": (len(S1_BANDS), np.dtype("<f4")),
    "optical": (len(RGB_BANDS), np.dtype("<u2")),
}


@dataclass(frozen=True, slots=True)
class PackedPair:
    """A pair in a shard: its name, the digest of its tiles, the CRC-32 of its pixels.

    `changed` is when its tiles changed last, by `kit.tiles.fingerprint.digest`; 0 if not known.
    """

    pair: str
    tiles: str
    crc32: int
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Shard:
    """The files of one shard, and what its JSON says."""

    folder: Path
    number: int
    height: int
    width: int
    pairs: tuple[PackedPair, ...]

    def array(self, name: str) -> Path:
        """The file of the "radar" or the "optical" pixels."""
        return self.folder / f"{self.number:05d}.{name}.npy"

    @property
    def index(self) -> Path:
        """The JSON, which is written last: without it there is no shard."""
        return self.folder / f"{self.number:05d}.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the shard, the JSON first."""
        return self.index, *map(self.array, ARRAYS)

    def shape(self, name: str) -> tuple[int, int, int, int]:
        """Of the array in that file."""
        return len(self.pairs), ARRAYS[name][0], self.height, self.width

    def array_bytes(self, name: str) -> int:
        """How long that file is."""
        return _HEADER + math.prod(self.shape(name)) * ARRAYS[name][1].itemsize

    def is_complete(self) -> bool:
        """Whether the arrays are there and as long as they must be."""
        try:
            return all(self.array(x).stat().st_size == self.array_bytes(x) for x in ARRAYS)
        except OSError:
            return False

    def write_index(self) -> None:
        """Write the JSON.

        Raises:
            OutputError: the disk is full or may not be written to.
        """
        about = {
            "height": self.height,
            "width": self.width,
            "pairs": [asdict(pair) for pair in self.pairs],
        }
        write_json(self.index, {"format": _FORMAT, "crc32": _checksum(about), "about": about})

    @property
    def remedy(self) -> str:
        """What to do if the shard is damaged."""
        return f"remove {self.index} and run kit pack again, which makes this shard again"

    def map(self, name: str) -> NDArray[Any]:
        """The pixels [n, bands, H, W], mapped from the file.

        Raises:
            InputError: the file is missing, cut short or damaged.
        """
        path = self.array(name)
        pixels = read_array(path, AGAIN)
        if pixels.shape != self.shape(name) or pixels.dtype != ARRAYS[name][1]:
            problem = f"is {pixels.dtype} {pixels.shape}, and {self.index.name} says otherwise"
            raise InputError(path, problem, remedy=self.remedy)
        return pixels


def check_shard(path: Path) -> Iterator[InputError]:
    """What is wrong with a shard, but for its pixels.

    Raises:
        InputError: its JSON is missing, damaged or of another format.
    """
    shard = read_shard(path)
    for name in ARRAYS:
        try:
            shard.map(name)
        except InputError as error:
            yield error


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
        raise InputError(path, "was not written by kit pack", remedy=remedy)
    if noted["format"] not in range(_OLDEST, _FORMAT + 1):
        found = ascii(noted["format"])[:20]
        problem = f"has format {found}, and this kit reads {_OLDEST} to {_FORMAT}"
        raise InputError(path, problem, remedy="install the kit that packed it, or " + AGAIN)
    about: Any = noted.get("about")
    if not path.stem.isdigit() or noted.get("crc32") != _checksum(about):
        raise InputError(path, "damaged: its checksum does not match", remedy=remedy)
    pairs = tuple(PackedPair(**pair) for pair in about["pairs"])
    return Shard(path.parent, int(path.stem), about["height"], about["width"], pairs)


def name_of(pair: Pair) -> str:
    """The pair's two scenes."""
    return f"{pair.radar} {pair.optical}"


def checksum(radar: NDArray[np.float32], optical: NDArray[np.uint16]) -> int:
    """CRC-32 of a pair's pixels, radar first; both contiguous."""
    return zlib.crc32(optical.data, zlib.crc32(radar.data))


def _checksum(about: Any) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())
