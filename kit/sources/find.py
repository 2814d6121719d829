"""A folder of any layout -> one of tiles: the folder itself if it holds tiles, or what it becomes.

In: a folder, and perhaps the name of its source. Out: what was converted, or None if the tiles are
the challenge's own and nobody asks for other units.
"""

from pathlib import Path

from kit.doubt import Units
from kit.errors import InputError
from kit.progress import Advance
from kit.sources.convert import Converted, Wanted, convert_folder
from kit.sources.definition import find_definition
from kit.sources.detect import (
    CHALLENGE,
    choose,
    is_official,
    is_tiles_alone,
    nothing_fits,
    only_tiles,
    where_tiles_lie,
)
from kit.sources.listing import list_files
from kit.sources.unknown import unknown_images

_NOTHING = Wanted()


def find_tiles(
    data: Path,
    work: Path,
    source: str | None = None,
    wanted: Wanted = _NOTHING,
    units: Units = "check",
    advance: Advance | None = None,
    *,
    reflectance: bool = False,
) -> Converted | None:
    """Look at a folder, and convert what is no folder of tiles.

    Args:
        data: the folder.
        work: the folder of tables, in which tiles get a folder.
        source: what the user named; None to look.
        wanted: what the user says of units.
        units: what becomes of doubts about them.
        advance: called with (done, total) during the work.
        reflectance: whether images become tiles only if their optical values are DN of
            reflectance, which a detector needs.

    Raises:
        InputError: it holds images of two layouts or of none, or as `convert_folder`.
    """
    if not wanted and only_tiles(data, source):
        return None
    paths = list_files(data, advance)
    if wanted and not source and is_tiles_alone(data, paths):
        source = CHALLENGE
    if source == CHALLENGE:
        paths = where_tiles_lie(data, paths)
    choice = choose(data, paths, source)
    if choice is None:
        if source:
            raise nothing_fits(data, paths, find_definition(source))
        if not is_official(data) and (unknown := unknown_images(data, paths)):
            raise unknown
        return None
    return convert_folder(data, paths, choice, work, wanted, units, advance, reflectance)


def require_tiles(data: Path, command: str) -> None:
    """Refuse images of another layout where a command takes tiles.

    Args:
        data: the folder.
        command: what takes tiles, for the error.

    Raises:
        InputError: it holds images of a known layout, of two, or of none.
    """
    if not data.is_dir() or is_official(data):
        return
    paths = list_files(data)
    if choice := choose(data, paths, None):
        problem = f"holds images of the source {choice.definition.name}, and {command} takes tiles"
        remedy = f"run kit prepare {data}, which makes tiles of them and screens these"
        raise InputError(data, problem, remedy=remedy)
    if unknown := unknown_images(data, paths):
        raise unknown
