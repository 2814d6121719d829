"""`index.csv`: which image of a folder became which scene.

In: images with their scenes. Out: the file, and the other way about the scene of an image by its
name, or the state that the files of a scene were in. Refused: a name that several images have.

It is written before the tiles are, and when those of other images are gone: whatever kills the
command, no tile lies there under a scene that the index gives to another image.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kit.errors import InputError
from kit.sources.placing import SENSORS, Placed
from kit.storage.files import write_bytes
from kit.tiles.names import SceneKey

INDEX = "index.csv"


def write_index(folder: Path, scenes: Sequence[Placed]) -> None:
    """Write which file became which scene, a line an image."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("part", "sensor", "scene", "file", "state"))
    for scene in scenes:
        file = next(iter(scene.image.files.values()))
        sensor = SENSORS[scene.image.sensor]
        rows.writerow((scene.image.part, sensor, scene.key, file, scene.state))
    write_bytes(folder / INDEX, text.getvalue().encode())


def read_states(folder: Path) -> dict[tuple[str, str], str]:
    """The state of the image that each sensor and scene was given to; none if there is no index."""
    try:
        rows = [*_read(folder / INDEX)]
        return {(row["sensor"], row["scene"]): row["state"] for row in rows}
    except (KeyError, UnicodeDecodeError, csv.Error):
        return {}  # of an earlier kit, or damaged: all tiles are made again


def find_scene(work: Path, name: str) -> SceneKey | None:
    """The scene that an image became; None if it is in none of the indices of a work folder.

    An image of a test part may have become one for each prediction of its folder: the latest
    counts.

    Args:
        work: the folder of tables.
        name: the path of the image, or a part of it: its end, or the folder of its bands.

    Raises:
        InputError: several images are called so.
    """
    part = f"/{name.strip('/')}/"
    found = [
        row for row in _rows(work) if part in (whole := f"/{row['file']}/") or part.endswith(whole)
    ]
    if not found:
        return None
    first, *others = found
    # The two images of a pair are at one place.
    if other := next((row for row in others if _apart(first, row)), None):
        problem = f"is the name of several images, {first['file']} and {other['file']}"
        raise InputError(name, problem, remedy="give more of its path")
    return SceneKey.parse(first["scene"])


def _rows(work: Path) -> Iterator[dict[str, str]]:
    """The images of all indices: those to train on, those that were predicted, and others."""
    prepared = [*_read(work / "tiles" / INDEX)]
    yield from (row for row in prepared if row["part"] != "test")
    predicted = (work / "inputs").glob(f"*/{INDEX}")
    for path in sorted(predicted, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        yield from _read(path)
    yield from (row for row in prepared if row["part"] == "test")


def _read(path: Path) -> Iterator[dict[str, str]]:
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


def _apart(row: Mapping[str, str], other: Mapping[str, str]) -> bool:
    if row["file"] == other["file"]:
        return False
    keys = [SceneKey.parse(each["scene"]) for each in (row, other)]
    return len({(key.lon, key.lat) for key in keys}) > 1
