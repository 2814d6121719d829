"""A folder of tiles -> its scenes.

In: a folder in the official layout, flat or with `sent1/` and `sent2/` in it. Out: the scenes that
have all their bands, sorted, and every file or scene that was left out, with the reason. Files are
not opened here: a name says everything that is needed.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.tiles import BANDS, FORM, SUFFIXES, SceneKey, TileName


@dataclass(frozen=True, slots=True)
class Scene:
    """All bands of one sensor at one place and date; `paths` in the order of `BANDS[sensor]`."""

    sensor: str
    key: SceneKey
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that was left out, and why. `kind` groups reasons for the summary."""

    name: str
    kind: str
    reason: str

    @classmethod
    def unreadable(cls, scene: Scene, error: InputError) -> "Rejection":
        """A scene that is left out because one of its tiles could not be read."""
        reason = f"{Path(error.where).name}: {error.problem}"
        return cls(f"{scene.sensor} {scene.key}", "unreadable", reason)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a folder holds."""

    folder: Path
    scenes: tuple[Scene, ...]
    rejected: tuple[Rejection, ...]

    def of(self, sensor: str) -> tuple[Scene, ...]:
        """The scenes of one sensor."""
        return tuple(scene for scene in self.scenes if scene.sensor == sensor)


def catalog(folder: Path) -> Catalog:
    """Find the scenes under `folder`.

    Bands that the kit does not use (B1, B8, ...) are passed over; they are part of the data set and
    no mistake.

    Raises:
        InputError: the folder does not exist, or holds no tile of Sentinel-1 or Sentinel-2.
    """
    bands: dict[tuple[str, SceneKey], dict[str, Path]] = defaultdict(dict)
    rejected: list[Rejection] = []
    for path in _files(folder):
        if path.suffix.lower() not in SUFFIXES:
            continue
        try:
            name = TileName.parse(path.name)
        except InputError as error:
            rejected.append(Rejection(path.name, "name", error.problem))
            continue
        if name.band not in BANDS.get(name.sensor, ()):
            continue
        scene = bands[name.sensor, name.scene]
        if name.band in scene:
            other = scene[name.band]
            rejected.append(Rejection(path.name, "duplicate", f"the same tile as {other}"))
        else:
            scene[name.band] = path
    scenes = []
    for (sensor, key), found in sorted(bands.items()):
        if missing := [band for band in BANDS[sensor] if band not in found]:
            reason = f"no {' and no '.join(missing)}"
            rejected.append(Rejection(f"{sensor} {key}", "missing band", reason))
        else:
            scenes.append(Scene(sensor, key, tuple(found[band] for band in BANDS[sensor])))
    if not bands:
        named = f" ({len(rejected)} files have other names)" if rejected else ""
        raise InputError(folder, f"holds no tile{named}, nor do its sent1/ and sent2/",
                         f"tiles are called {FORM}")  # fmt: skip
    return Catalog(folder, tuple(scenes), tuple(rejected))


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "no such folder"
        raise InputError(folder, problem, "give the folder that holds the tiles")
    for place in (folder, folder / "sent1", folder / "sent2"):
        if place.is_dir():
            yield from (place / name for name in sorted(os.listdir(place)))
