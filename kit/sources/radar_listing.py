"""The radar images of a folder of another layout that are to be predicted, by their names alone.

In: a folder: that of a data set, of which the test part counts if it has one, or that of radar
images. Out: the images. Refused by name: images of two layouts, and none of the radar.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.progress import Advance
from kit.sources.definition import Definition, find_definition
from kit.sources.detect import (
    CHALLENGE,
    Choice,
    choose,
    is_tiles_alone,
    nothing_fits,
    where_tiles_lie,
)
from kit.sources.listing import list_files, list_images
from kit.sources.twins import Twins, find_radar
from kit.sources.unknown import unknown_images

_ABOVE = 3  # names of folders that the name of an image may need, such as roi, scene and sensor


@dataclass(frozen=True, slots=True)
class RadarListing:
    """Radar images by their paths from `where`, and how many are in other parts than the test's."""

    where: Path
    definition: Definition
    images: tuple[Twins, ...]
    others: int


def list_radar(
    data: Path,
    source: str | None = None,
    advance: Advance | None = None,
    *,
    tiles: bool = False,
) -> RadarListing | None:
    """The radar images of a folder; None if it holds official tiles, or no image.

    Args:
        data: the folder.
        source: what the user named; None to look.
        advance: called with (done, total) during the work.
        tiles: whether official tiles are such images, because they are to be in another unit.

    Raises:
        InputError: its images are of two layouts, or none is of the radar.
    """
    paths = list_files(data, advance)
    if source is None and is_tiles_alone(data, paths, radar_alone=True):
        if not tiles:
            return None
        source = CHALLENGE
    if source == CHALLENGE:
        paths = where_tiles_lie(data, paths)
    where, named, choice = _choose(data, paths, source)
    if choice is None:
        if source:
            raise nothing_fits(data, paths, find_definition(source))
        if unknown := unknown_images(data, paths, radar_alone=True):
            raise unknown
        return None
    definition = choice.definition
    listing = list_images(named, definition, choice.number)
    images, others = find_radar(where, listing, definition, named)
    if not images:
        problem = f"holds no radar image of the source {definition.name}"
        remedy = "give the folder that holds the radar images, or another --source"
        raise InputError(data, problem, remedy=remedy)
    return RadarListing(where, definition, tuple(images), others)


def _choose(
    data: Path, paths: list[str], source: str | None
) -> tuple[Path, list[str], Choice | None]:
    """The layout, and the folder that paths are of: one above, if names need its own name too."""
    absolute = Path(os.path.abspath(data))
    for where in (absolute, *absolute.parents[:_ABOVE]):
        before = absolute.relative_to(where).as_posix()
        named = paths if where == absolute else [f"{before}/{path}" for path in paths]
        if choice := choose(where, named, source, radar_alone=True):
            return where, named, choice
    return absolute, paths, None
