"""Placed images -> the tiles of a folder, written, linked, kept or removed.

In: images with their scenes. Out: their tiles, and `index.csv`, which says what became of which
file. A tile is as old as the file that it was made of, so that none is made twice.
"""

import os
from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np

from kit.errors import InputError
from kit.machine.lookahead import map_ahead
from kit.progress import Advance
from kit.sources.definition import Definition
from kit.sources.pixels import WANTED, convert, first_header, link_files, read_image, write_tiles
from kit.sources.placing import SENSORS, THREADS, Placed
from kit.sources.units import SourceUnits
from kit.storage import half_written
from kit.storage.files import write_bytes
from kit.tiles.rejection import Rejection
from kit.tiles.tiff import encode_tiff


def write_all(
    data: Path,
    scenes: Sequence[Placed],
    definition: Definition,
    units: SourceUnits,
    folder: Path,
    advance: Advance | None,
) -> list[Rejection]:
    """Write or link the tiles of all images; returns those that cannot be read.

    Raises:
        OutputError: a tile cannot be written.
    """

    def write(scene: Placed) -> Rejection | None:
        try:
            _write(data, scene, definition, units, folder)
        except InputError as error:
            for path in scene.tiles(folder).values():
                path.unlink(missing_ok=True)
            name = f"{SENSORS[scene.image.sensor]} {scene.image.name}"
            return Rejection(name, "unreadable", error.brief)
        return None

    failed = []
    for done, problem in enumerate(map_ahead(write, scenes, threads=THREADS, depth=64), 1):
        if problem:
            failed.append(problem)
        if advance:
            advance(done, len(scenes), "converting")
    return failed


def _write(
    data: Path, scene: Placed, definition: Definition, units: SourceUnits, folder: Path
) -> None:
    tiles, image = scene.tiles(folder), scene.image
    changed = max((data / file).stat().st_mtime_ns for file in image.files.values())
    if all(_is_current(path, changed, linked=band == "QA60") for band, path in tiles.items()):
        return
    if scene.link:
        files = link_files(image, definition, units)
        assert files
        for band, file in files.items():
            if not file:
                raise InputError(image.name, f"has no {band}", remedy="fetch it too")
            _link(data / file, tiles[band])
        header = first_header(data, image)
        size = header.height, header.width
    else:
        pixels, header = read_image(data, image, definition)
        size = pixels.shape[1], pixels.shape[2]
        converted = convert(image.sensor, pixels, units)
        names = [tiles[band].name for band in WANTED[image.sensor]]
        bands = dict(zip(names, converted, strict=True))
        write_tiles(bands, folder / scene.folder, header.grid, changed)
    if "QA60" in tiles:
        clouds = image.files.get(str(definition.optical.bands.get("QA60", None)))
        if clouds:
            _link(data / clouds, tiles["QA60"])
        else:
            _link(_clear(folder / "qa60", size), tiles["QA60"])


def _is_current(path: Path, changed: int, *, linked: bool) -> bool:
    """Whether a tile is there already; a link is as new as what it leads to."""
    try:
        return path.stat().st_mtime_ns == changed or linked or path.is_symlink()
    except OSError:
        return False


def _clear(folder: Path, size: tuple[int, int]) -> Path:
    """The QA60 of a scene that has none: no cloud, one file for all scenes of a size."""
    path = folder / f"{size[0]}x{size[1]}.tiff"
    if not path.exists():
        write_bytes(path, encode_tiff(np.zeros((1, *size), np.uint16)))
    return path


def _link(file: Path, path: Path) -> None:
    """A link to a file, or a copy where the file system has no links."""
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(file.resolve())
    except OSError:
        write_bytes(path, file.read_bytes())


def sweep(folder: Path, scenes: Sequence[Placed]) -> None:
    """Remove tiles of images that are no longer there, and all that is half written."""
    kept = {str(path) for scene in scenes for path in scene.tiles(folder).values()}
    for part in ("train", "test", "truth"):
        remove(folder / part, kept)
    half_written.sweep(folder / "qa60")


def remove(folder: Path, kept: Set[str] = frozenset()) -> None:
    """Remove the tiles of a folder, and what is half written there, but for those to be kept."""
    half_written.sweep(folder)
    for entry in os.scandir(folder):
        if entry.path not in kept and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
