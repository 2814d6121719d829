"""Twins -> images with a place and a date, and the names of the tiles that they become.

In: twins. Out: for each image its scene, its folder of tiles, and the state of its files. Listed:
images that cannot be read, have no possible date, or lie at a place and date that another has.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.ground import Place
from kit.machine.lookahead import map_ahead
from kit.sources.definition import Definition
from kit.sources.image import Header
from kit.sources.listing import Image
from kit.sources.pixels import WANTED, first_header, is_tile, link_files
from kit.sources.places import MadeUp, named_place, place_of
from kit.sources.twins import Twins
from kit.sources.units import SourceUnits
from kit.storage.files import json_sha256
from kit.tiles.fingerprint import states
from kit.tiles.names import SENSORS, SceneKey, TileName
from kit.tiles.rejection import Rejection

THREADS = 4


@dataclass(frozen=True, slots=True)
class Placed:
    """An image, the scene that it becomes, its folder, and whether its files are tiles already.

    `state` is a digest of all that tells its tiles from those of another image: the names of its
    files, their sizes and times as they were before they were read, and the folder.
    """

    image: Image
    key: SceneKey
    folder: str
    link: bool
    state: str

    def tiles(self, folder: Path) -> dict[str, Path]:
        """The path of the tile of each band, of QA60 too, in a folder of tiles."""
        sensor = SENSORS[self.image.sensor]
        bands = [*WANTED[self.image.sensor], *(["QA60"] if sensor == "Sentinel2" else [])]
        return {b: folder / self.folder / str(TileName(sensor, b, self.key)) for b in bands}


def place_all(
    data: Path,
    twins: Sequence[Twins],
    definition: Definition,
    units: SourceUnits,
    made_up: MadeUp,
) -> tuple[list[Placed], list[Rejection]]:
    """Every image with its place and date, and what cannot be read or lies where another does.

    Raises:
        InputError: there are more images without a place than places can be made up.
    """
    scenes: list[Placed] = []
    rejected: list[Rejection] = []
    seen: set[tuple[str, SceneKey]] = set()

    def look(each: Twins) -> tuple[Twins, dict[str, Header | InputError], dict[str, list[Any]]]:
        headers: dict[str, Header | InputError] = {}
        on_disk: dict[str, list[Any]] = {}
        for image in (each.radar, each.optical):
            if image:
                on_disk[image.sensor] = _files_of(data, image)
                try:
                    headers[image.sensor] = first_header(data, image)
                except InputError as error:
                    headers[image.sensor] = error
        return each, headers, on_disk

    for each, found, on_disk in map_ahead(look, twins, threads=THREADS, depth=64):
        images = [image for image in (each.radar, each.optical) if image]
        headers = {s: h for s, h in found.items() if not isinstance(h, InputError)}
        if errors := [h for h in found.values() if isinstance(h, InputError)]:
            rejected.append(Rejection(images[-1].name, "unreadable", errors[0].brief))
            if each.part != "test" or "radar" not in headers:
                continue
            images = images[:1]  # which can be predicted without its truth
        known = _known_place(images, headers)
        place = known or _made_up_place(images[0], definition, made_up)
        for image in images:
            try:
                key = SceneKey(*place, _date(image, definition))
            except InputError as error:
                rejected.append(Rejection(image.name, "name", error.brief))
                break
            if (image.sensor, key) in seen:
                problem = f"another image has its place and date, {key}"
                rejected.append(Rejection(image.name, "duplicate", problem))
                break
            seen.add((image.sensor, key))
            test = "test" if image.sensor == "radar" else "truth"
            part = test if each.part == "test" else "train"
            header = headers[image.sensor]
            # Another image may get a made-up place later. A link would look as old as a link to
            # that, and as large.
            link = known is not None and is_tile(image, header)
            link = link and link_files(image, definition, units) is not None
            state = json_sha256([part, link, on_disk[image.sensor]])[:32]
            scenes.append(Placed(replace(image, part=each.part), key, part, link, state))
    return scenes, rejected


def _files_of(data: Path, image: Image) -> list[Any]:
    """Band, name, size and times of each file of an image."""
    on_disk = states(data / file for file in image.files.values())
    return [[*item, *state] for item, state in zip(image.files.items(), on_disk, strict=True)]


def _known_place(images: Sequence[Image], headers: Mapping[str, Header]) -> Place | None:
    """The place of twins by name, or by the grid of the optical image or the radar."""
    for image in reversed(images):
        if place := named_place(image.fields):
            return place
    for image in reversed(images):
        header = headers[image.sensor]
        if header.grid and (place := place_of(header.grid, header.height, header.width)):
            return place
    return None


def _made_up_place(image: Image, definition: Definition, made_up: MadeUp) -> Place:
    names = [image.fields[name] for name in definition.group if name in image.fields]
    whole = len(names) == len(definition.group) and names
    return made_up.place((image.key[0], *names) if whole else image.key)


def _date(image: Image, definition: Definition) -> datetime.date:
    if text := image.fields.get("date", "").replace("_", "").replace("-", ""):
        try:
            return datetime.datetime.strptime(text, "%Y%m%d").date()
        except ValueError:
            file = next(iter(image.files.values()))
            problem = f"{text} is no date of the calendar"
            raise InputError(file, problem, remedy="rename it") from None
    word = image.fields.get(definition.date_field, "").lower()
    return definition.dates.get(word, definition.date)
