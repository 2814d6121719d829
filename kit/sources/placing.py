"""Twins -> images with a place and a date, and the names of the tiles that they become.

In: twins. Out: for each image its scene and its folder of tiles. Listed: images that cannot be
read, have no possible date, or lie at a place and date that another image has.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from kit.tiles.names import SceneKey, TileName
from kit.tiles.rejection import Rejection

THREADS = 4
SENSORS = {"radar": "Sentinel1", "optical": "Sentinel2"}


@dataclass(frozen=True, slots=True)
class Placed:
    """An image, the scene that it becomes, its folder, and whether its files are tiles already."""

    image: Image
    key: SceneKey
    folder: str
    link: bool

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

    def look(each: Twins) -> tuple[Twins, dict[str, Header | InputError]]:
        headers: dict[str, Header | InputError] = {}
        for image in (each.radar, each.optical):
            if image:
                try:
                    headers[image.sensor] = first_header(data, image)
                except InputError as error:
                    headers[image.sensor] = error
        return each, headers

    for each, found in map_ahead(look, twins, threads=THREADS, depth=64):
        images = [image for image in (each.radar, each.optical) if image]
        headers = {s: h for s, h in found.items() if not isinstance(h, InputError)}
        if errors := [h for h in found.values() if isinstance(h, InputError)]:
            rejected.append(Rejection(images[-1].name, "unreadable", errors[0].brief))
            if each.part != "test" or "radar" not in headers:
                continue
            images = images[:1]  # which can be predicted without its truth
        place = _place_of(images, headers, definition, made_up)
        for image in images:
            try:
                key = SceneKey(*place, _date(image, definition))
            except InputError as error:
                rejected.append(Rejection(image.name, "name", error.problem))
                break
            if (image.sensor, key) in seen:
                problem = f"another image has its place and date, {key}"
                rejected.append(Rejection(image.name, "duplicate", problem))
                break
            seen.add((image.sensor, key))
            test = "test" if image.sensor == "radar" else "truth"
            part = test if each.part == "test" else "train"
            header = headers[image.sensor]
            link = link_files(image, definition, units) is not None and is_tile(image, header)
            scenes.append(Placed(replace(image, part=each.part), key, part, link))
    return scenes, rejected


def _place_of(
    images: Sequence[Image], headers: Mapping[str, Header], definition: Definition, made_up: MadeUp
) -> Place:
    """The place of twins: by name, by the grid of the optical image or the radar, or made up."""
    for image in reversed(images):
        if place := named_place(image.fields):
            return place
    for image in reversed(images):
        header = headers[image.sensor]
        if header.grid and (place := place_of(header.grid, header.height, header.width)):
            return place
    image = images[0]
    names = [image.fields[name] for name in definition.group if name in image.fields]
    whole = len(names) == len(definition.group) and names
    return made_up.place((image.key[0], *names) if whole else image.key)


def _date(image: Image, definition: Definition) -> datetime.date:
    if text := image.fields.get("date", "").replace("_", "").replace("-", ""):
        try:
            return datetime.datetime.strptime(text, "%Y%m%d").date()
        except ValueError:
            raise InputError(image.name, f"{text} is no date of the calendar") from None
    return definition.dates.get(image.fields.get(definition.date_field, ""), definition.date)
