"""Placed images -> the tiles of a folder, written, linked, kept or removed.

In: images with their scenes. Out: their tiles. A tile is as old as the file that it was made of. It
stays as long as the index of the folder gives its scene to the same files in the same state, and it
is as large as it was, so that none is made twice, and none is taken for that of another image.
"""

import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from kit.errors import InputError
from kit.machine.lookahead import map_ahead
from kit.progress import Advance
from kit.sources.definition import Definition
from kit.sources.pixels import WANTED, convert, first_header, link_files, read_image, write_tiles
from kit.sources.placing import THREADS, Placed
from kit.sources.units import SourceUnits
from kit.sources.written import Written
from kit.storage import half_written
from kit.storage.files import atomic, sync_folder, write_bytes
from kit.tiles.names import SENSORS
from kit.tiles.regular_file import check_regular
from kit.tiles.rejection import Rejection
from kit.tiles.sidecars import SIDECARS
from kit.tiles.tiff import encode_tiff

_NO_CLOUD = "qa60"


def write_all(
    data: Path,
    scenes: Sequence[Placed],
    definition: Definition,
    units: SourceUnits,
    folder: Path,
    advance: Advance | None,
) -> list[Rejection]:
    """Write or link the tiles of all images that are not there; returns those that cannot be read.

    Raises:
        OutputError: a tile cannot be written.
    """

    written = Written(folder)
    _mend_clear(folder / _NO_CLOUD)

    def write(scene: Placed) -> Rejection | None:
        try:
            _write(data, scene, definition, units, folder, written)
        except InputError as error:
            for path in scene.tiles(folder).values():
                _unlink(path)
            name = f"{SENSORS[scene.image.sensor]} {scene.image.name}"
            return Rejection(name, "unreadable", error.brief)
        return None

    failed = []
    for done, problem in enumerate(map_ahead(write, scenes, threads=THREADS, depth=64), 1):
        if problem:
            failed.append(problem)
        if advance:
            advance(done, len(scenes), "converting")
    written.finish()
    return failed


def _write(
    data: Path,
    scene: Placed,
    definition: Definition,
    units: SourceUnits,
    folder: Path,
    written: Written,
) -> None:
    tiles, image = scene.tiles(folder), scene.image
    changed = max(
        check_regular(data / file, "an image").st_mtime_ns for file in image.files.values()
    )
    links = _links(data, scene, definition, units, folder)
    if all(_is_current(path, changed, links.get(band), written) for band, path in tiles.items()):
        return
    if scene.link:
        header = first_header(data, image)
        size = header.height, header.width
    else:
        pixels, header = read_image(data, image, definition)
        size = pixels.shape[1], pixels.shape[2]
        converted = convert(image.sensor, pixels, units)
        names = [tiles[band].name for band in WANTED[image.sensor]]
        bands = dict(zip(names, converted, strict=True))
        written.add(write_tiles(bands, folder / scene.folder, header.grid, changed))
    for band, file in links.items():
        _link(_clear(file, size) if file == folder / _NO_CLOUD else file, tiles[band], changed)


def _links(
    data: Path, scene: Placed, definition: Definition, units: SourceUnits, folder: Path
) -> dict[str, Path]:
    """What the tiles of bands that are not written lead to: a file, or the folder of `_clear`."""
    image, found = scene.image, dict[str, Path]()
    if scene.link:
        for band, file in (link_files(image, definition, units) or {}).items():
            if not file:
                raise InputError(image.name, f"has no {band}", remedy="fetch it too")
            found[band] = data / file
    if image.sensor == "optical":
        clouds = image.files.get(str(definition.optical.bands.get("QA60", None)))
        found["QA60"] = data / clouds if clouds else folder / _NO_CLOUD
    return found


def _is_current(path: Path, changed: int, target: Path | None, written: Written) -> bool:
    """Whether a tile is there, and is a link to `target` or into it, or what was made of its file.

    A copy in place of a link is as old as its file, and so is what was written.
    """
    try:
        status = path.stat()
        if path.is_symlink() and target:
            return target.resolve() in (path.readlink(), path.readlink().parent)
        is_whole = target is not None or written.has(path, status.st_size)
        return is_whole and status.st_mtime_ns == changed
    except OSError:
        return False


def _clear(folder: Path, size: tuple[int, int]) -> Path:
    """The QA60 of a scene that has none: no cloud, one file for all scenes of a size."""
    path = folder / f"{size[0]}x{size[1]}.tiff"
    if not path.exists():
        write_bytes(path, _no_cloud(size))
    return path


def _mend_clear(folder: Path) -> None:
    """Write the files of `_clear` again that are not what they were: all scenes lead to them."""
    for path in folder.glob("*.tiff"):
        size = [int(side) for side in path.stem.split("x") if side.isdecimal()]
        if len(size) == 2 and path.read_bytes() != (data := _no_cloud((size[0], size[1]))):
            write_bytes(path, data)


def _no_cloud(size: tuple[int, int]) -> bytes:
    return encode_tiff(np.zeros((1, *size), np.uint16))


def _link(file: Path, path: Path, changed: int) -> None:
    """Links to a file and its sidecars, or copies where the file system has no links.

    A copy is as old as its image, `changed` in ns.
    """
    _unlink(path)
    # What a sidecar declares holds from the moment when the tile is there.
    beside = [suffix for suffix in SIDECARS if os.path.lexists(f"{file}{suffix}")]
    for suffix in (*beside, ""):
        source, target = Path(f"{file}{suffix}"), Path(f"{path}{suffix}")
        try:
            target.symlink_to(source.resolve())
        except OSError:
            with atomic(target) as part:
                part.write_bytes(source.read_bytes())
                os.utime(part, ns=(changed, changed))


def _unlink(path: Path) -> None:
    """Remove a tile, and the sidecars of one that was a link."""
    for suffix in ("", *SIDECARS):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def sweep(folder: Path, scenes: Sequence[Placed], made: Mapping[tuple[str, str], str]) -> None:
    """Remove tiles that are not of these images as they are now, and all that is half written.

    Args:
        folder: of tiles.
        scenes: the images.
        made: by sensor and scene the state of the image that the tiles were made of.
    """
    kept = {
        str(path)
        for scene in scenes
        if made.get((SENSORS[scene.image.sensor], str(scene.key))) == scene.state
        for path in scene.tiles(folder).values()
    }
    for part in ("train", "test", "truth"):
        remove(folder / part, kept)
    half_written.sweep(folder / _NO_CLOUD)


def remove(folder: Path, kept: Set[str] = frozenset()) -> None:
    """Remove the tiles of a folder, and what is half written there, but for those to be kept.

    They are gone for good, also if the machine stops, before anything else is written.
    """
    half_written.sweep(folder)
    for entry in os.scandir(folder):
        tile = entry.path
        for suffix in SIDECARS:
            tile = tile.removesuffix(suffix)
        if tile not in kept and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
    sync_folder(folder)
