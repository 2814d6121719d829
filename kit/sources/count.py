"""How many pairs, or radar images, a folder of another layout holds; nothing is converted.

In: a folder. Out: numbers, and the size of the first image; None for a folder of tiles.
"""

from pathlib import Path

from kit.sources.detect import choose, only_tiles
from kit.sources.listing import list_files, list_images
from kit.sources.pixels import first_header
from kit.sources.radar_listing import list_radar
from kit.sources.twins import find_twins


def count_pairs(data: Path, source: str | None = None) -> int | None:
    """How many pairs to train on a folder of another layout holds; None if it is one of tiles.

    Raises:
        InputError: it holds images of two layouts, or a table or a list in it is wrong.
    """
    if only_tiles(data, source):
        return None
    paths = list_files(data)
    choice = choose(data, paths, source)
    if choice is None:
        return None
    found = list_images(paths, choice.definition, choice.number)
    twins, _ = find_twins(data, found, choice.definition, paths)
    return sum(each.part != "test" for each in twins)


def measure_radar(data: Path, source: str | None = None) -> tuple[int, int, int] | None:
    """How many radar images of another layout are to be predicted, and height and width of one.

    None if the folder is one of tiles; raises as `list_radar`.
    """
    if only_tiles(data, source):
        return None
    found = list_radar(data, source)
    if found is None:
        return None
    first = found.images[0].radar
    assert first
    header = first_header(found.where, first)
    return len(found.images), header.height, header.width
