"""`index.csv`: which image of a folder became which scene.

In: images with their scenes. Out: the file, and the other way about the scene of an image by its
name and the folder of its tiles, or the state that the files of a scene were in. Refused: a name
that several images have, and an index that is damaged: `source.json` beside it holds its SHA-256.

It is written before the tiles are, and when those of other images are gone: whatever kills the
command, no tile lies there under a scene that the index gives to another image.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.plain_text import from_spreadsheet_cell, spreadsheet_cell
from kit.sources.origin import SOURCE, read_origin, read_source_file
from kit.sources.placing import Placed
from kit.storage.files import known_to_differ, sha256, write_bytes
from kit.tiles.names import SENSORS, SceneKey, TileName
from kit.tiles.unfinished import UNFINISHED

INDEX = "index.csv"
_COLUMNS = ("part", "sensor", "scene", "file", "state")
_DIGEST = "index_sha256"
_REMEDY = "run the command that made it again: kit prepare DATA, or kit predict"
# In the work folder, what images became: to prepare, and to predict.
TILES, INPUTS = "tiles", "inputs"


def write_index(folder: Path, scenes: Sequence[Placed]) -> None:
    """Write which file became which scene, a line an image."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for scene in scenes:
        file = spreadsheet_cell(next(iter(scene.image.files.values())))
        sensor = SENSORS[scene.image.sensor]
        rows.writerow((scene.image.part, sensor, scene.key, file, scene.state))
    write_bytes(folder / INDEX, text.getvalue().encode())


def index_digest(folder: Path) -> dict[str, str]:
    """What the record of a folder's source says of its index."""
    return {_DIGEST: sha256(folder / INDEX)}


def check_source(path: Path) -> Iterator[InputError]:
    """What is wrong with the record of a source, and with the index that it describes.

    Raises:
        InputError: the record is damaged.
    """
    index = path.with_name(INDEX)
    if _DIGEST in read_source_file(path) and not index.exists():
        yield InputError(index, "is gone", remedy=_REMEDY)


def check_index(path: Path) -> Iterator[InputError]:
    """What is wrong with an index, and whether the record beside it is there.

    Raises:
        InputError: the index is damaged.
    """
    _read(path)
    if not any(path.with_name(name).exists() for name in (SOURCE, UNFINISHED)):
        yield InputError(path.with_name(SOURCE), "is gone", remedy=_REMEDY)


def read_states(folder: Path) -> dict[tuple[str, str], str]:
    """The state of the image that each sensor and scene was given to; none if there is no index."""
    try:
        rows = _read(folder / INDEX)
        return {(row["sensor"], row["scene"]): row["state"] for row in rows}
    except InputError:
        return {}  # all tiles are made again


@dataclass(frozen=True, slots=True)
class Indexed:
    """An image of an index: its file, in a folder of images, its scene, and where the index is."""

    folder: Path
    file: str
    scene: SceneKey
    index: Path
    is_test: bool

    @property
    def tiles(self) -> Path:
        """The folder of the radar tiles of its part."""
        return self.index / ("test" if self.is_test else "train")

    @property
    def truth(self) -> Path:
        """The folder of the optical tiles of its part."""
        return self.index / ("truth" if self.is_test else "train")

    @property
    def path(self) -> Path:
        """Where the image was when it became tiles."""
        return self.folder / self.file

    def is_called(self, name: str) -> bool:
        """Whether a part of a path is one of the image's own."""
        return f"/{name.strip('/')}/" in f"{self.path}/"

    def ends(self, name: str) -> bool:
        """Whether a path ends as the image is listed, wherever its folder lies by now."""
        return f"/{name.strip('/')}/".endswith(f"/{self.file}/")

    def has_truths(self) -> bool:
        """Whether there are optical tiles in its part; a folder of radar images has none."""
        return next(self.truth.glob("Sentinel2_*"), None) is not None

    def has_tiles(self) -> bool:
        """Whether there are tiles of its scene."""
        radar = self.tiles / str(TileName("Sentinel1", "VV", self.scene))
        optical = self.truth / str(TileName("Sentinel2", "B4", self.scene))
        return radar.exists() or optical.exists()


def find_image(work: Path, name: str, inputs: Sequence[Path] = ()) -> Indexed | None:
    """What an image became; None if it is in none of the indices of a work folder.

    An image of a test part may have become a scene for each folder that it was predicted from: of
    those with tiles, what lies in the first of `inputs` counts, then the latest.

    Args:
        work: the folder of tables.
        name: the path of the image, or a part of it: its end, or the folder of its bands.
        inputs: the folders of tiles to look at before others, such as those last predicted.

    Raises:
        InputError: several images are called so, or an index is damaged.
    """
    images = [*_images(work, inputs)]
    found = [image for image in images if image.is_called(name)]
    found = found or [image for image in images if image.ends(name)]
    if not found:
        return None
    first, *others = [image for image in found if image.has_tiles()] or found
    # The two images of a pair are at one place.
    if other := next((image for image in others if _apart(first, image)), None):
        problem = f"is the name of several images, {first.path} and {other.path}"
        raise InputError(name, problem, remedy="give more of its path")
    return first


def _images(work: Path, inputs: Sequence[Path]) -> Iterator[Indexed]:
    """The images of all indices, those to train on first."""
    prepared = work / TILES / INDEX
    predicted = (work / INPUTS).glob(f"*/{INDEX}")
    latest = sorted(predicted, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    places = {folder.resolve(): place for place, folder in reversed([*enumerate(inputs)])}

    def rank(index: Path) -> int:
        return places.get((index.parent / "test").resolve(), len(places))

    yield from (image for image in _indexed(prepared) if not image.is_test)
    for path in sorted([*latest, prepared], key=rank):
        yield from (image for image in _indexed(path) if image.is_test)


def _indexed(path: Path) -> Iterator[Indexed]:
    """The images of one index."""
    origin = (read_origin(path.parent) or Path()).resolve()
    for row in _read(path):
        scene = SceneKey.parse(row["scene"])
        yield Indexed(origin, row["file"], scene, path.parent, row["part"] == "test")


def _read(path: Path) -> list[dict[str, str]]:
    """The rows of an index that is whole; none if it is not there."""
    if not path.exists():
        return []
    source = path.with_name(SOURCE)
    record: Mapping[str, Any] = read_source_file(source) if source.exists() else {}
    if known_to_differ(record.get(_DIGEST), sha256(path)):
        raise InputError(path, f"damaged: it is not what {SOURCE} describes", remedy=_REMEDY)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: from_spreadsheet_cell(row[name]) for name in _COLUMNS}
                for row in csv.DictReader(file)
            ]
        for row in rows:
            SceneKey.parse(row["scene"])
    except (KeyError, TypeError, ValueError, csv.Error):
        raise InputError(path, "damaged", remedy=_REMEDY) from None
    return rows


def _apart(image: Indexed, other: Indexed) -> bool:
    if image.path == other.path:
        return False
    return image.scene.place != other.scene.place
