"""A folder whose images make no layout, and what it lacks.

In: the paths of its files. Out: the error to raise. It may be of one sensor alone, or have names
that no known source has.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from kit.errors import InputError
from kit.plain_text import count_of
from kit.sources.definition import NAMES, Definition, find_definition
from kit.sources.listing import PICTURES, list_images, templates_used
from kit.tiles.names import FORM, sensor_of


def unknown_images(
    data: Path, paths: Sequence[str], *, radar_alone: bool = False
) -> InputError | None:
    """What to raise where the images of a folder make no layout; None if it has none.

    Tiles of sensors that the kit does not use count as none: `kit.tiles.catalog` names these.

    Args:
        data: the folder.
        paths: of its files, relative and with slashes.
        radar_alone: whether radar images without optical ones would have been enough.
    """
    pictures = [path for path in paths if path.lower().endswith(PICTURES)]
    if not pictures or any(sensor_of(path.rpartition("/")[2]) for path in pictures):
        return None
    # The folder's own name may say which sensor its images are of.
    above = Path(os.path.abspath(data)).name
    for named in (paths, [f"{above}/{path}" for path in paths]):
        for definition in map(find_definition, NAMES):
            listing = list_images(named, definition, None)
            if listing.radar or listing.optical:
                if radar_alone:
                    problem = f"holds optical images, such as {pictures[0]}"
                    return InputError(data, problem, remedy="give the radar images")
                return no_pairs(data, named, definition)
    problem = f"none of its {len(pictures)} images, such as {pictures[0]}, is named as a tile"
    problem += f", {FORM}, or as {'a radar' if radar_alone else 'an'} image of a known source"
    call, command = "the folders of both sensors radar and optical", "kit prepare DATA "
    if radar_alone:
        call, command = "their folder radar", ""
    remedy = f"call {call}, or say how they are named: {command}--source FILE.toml"
    return InputError(data, problem, remedy=remedy)


def no_pairs(data: Path, paths: Sequence[str], definition: Definition) -> InputError:
    """What to raise where images fit a source, and none of its alternatives has both sensors."""
    found, counts = list_images(paths, definition, None), templates_used(paths, definition)
    if found.radar and found.optical:
        names = " and ".join(next(iter(found.of(s).values())).name for s in ("radar", "optical"))
        problem = f"names radar and optical images differently, such as {names}"
        remedy = "name both alike, or say how they are named: --source FILE.toml"
        return InputError(data, problem, remedy=remedy)
    have, lack = ("radar", "optical") if found.radar else ("optical", "radar")
    texts = [template.text for template in definition.side(lack).files]
    wanted = texts[min(max(counts, key=lambda number: sum(counts[number])), len(texts) - 1)]
    images = count_of(len(found.of(have)), f"{have} image")
    problem = f"has {images}, and no {lack} ones, such as {wanted}"
    return InputError(data, problem, remedy="give the folder that holds both")
