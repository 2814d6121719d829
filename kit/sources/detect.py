"""Which layout a folder has, found out by looking at the paths of its files.

In: the paths. Out: the definition and the one of its alternatives that fits, or that the tiles are
the challenge's own. Refused by name: a folder of two layouts, for nothing is guessed.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kit.errors import InputError
from kit.sources.definition import NAMES, Definition, find_definition
from kit.sources.listing import list_images, templates_used
from kit.sources.template import Template
from kit.sources.unknown import no_pairs
from kit.tiles.names import BANDS, FORM, sensor_of
from kit.tiles.netcdf import SUFFIX
from kit.tiles.scenes import FOLDERS

CHALLENGE = "multiearth"
GENERAL = "pairs"  # which the files of other layouts may fit too
_LOOKED = 10000  # names of a folder that are looked at for one of an official tile


@dataclass(frozen=True)
class Choice:
    """A definition, and which of its alternatives: None for all."""

    definition: Definition
    number: int | None


def is_official(data: Path) -> bool:
    """Whether a folder, or its sent1/ or sent2/, holds official tiles or NetCDF files."""
    for name in FOLDERS:
        try:
            with os.scandir(data / name) as entries:
                looked = islice(entries, _LOOKED)
                if any(_is_tile(entry.name) and not entry.is_dir() for entry in looked):
                    return True
        except OSError:
            continue
    return False


def only_tiles(data: Path, source: str | None) -> bool:
    """Whether a folder is one of official tiles, and has no other folder that could be a layout.

    A source that the user has named decides.
    """
    if source not in (None, CHALLENGE):
        return False
    if source == CHALLENGE or not data.is_dir():
        return True
    if not is_official(data):
        return False
    folders = [path for path in data.iterdir() if path.is_dir() and path.name[:1] != "."]
    return all(path.name in FOLDERS for path in folders)


def is_tiles_alone(data: Path, paths: Sequence[str], *, radar_alone: bool = False) -> bool:
    """Whether a folder holds official tiles, and nothing beside them that is of another layout.

    Args:
        data: the folder.
        paths: of its files, relative and with slashes.
        radar_alone: whether radar images without optical ones would be of another layout.

    Raises:
        InputError: it holds images of another layout, too.
    """
    if only_tiles(data, None):
        return True
    return is_official(data) and choose(data, paths, None, radar_alone=radar_alone) is None


def where_tiles_lie(data: Path, paths: Sequence[str]) -> list[str]:
    """The paths of a folder's files that official tiles have; all, if none has one of these."""
    if not is_official(data):
        return [*paths]
    return [path for path in paths if path.rpartition("/")[0] in FOLDERS]


def choose(
    data: Path, paths: Sequence[str], source: str | None, *, radar_alone: bool = False
) -> Choice | None:
    """The layout of a folder; None if nothing fits.

    Args:
        data: the folder, for errors.
        paths: of its files, relative and with slashes.
        source: what the user named; None to look.
        radar_alone: whether radar images without optical ones are enough.

    Raises:
        InputError: files fit several layouts, or those of one sensor are missing.
    """

    def enough(counts: tuple[int, int]) -> bool:
        return counts[0] > 0 if radar_alone else all(counts)

    names = [source] if source else [name for name in NAMES if name != CHALLENGE]
    fitting = []
    for name in names:
        definition = find_definition(name)
        counts = templates_used(paths, definition)
        both = {number: sum(found) for number, found in counts.items() if enough(found)}
        if both or (source and counts):
            fitting.append((definition, both))
        # Files of a layout with names of its own fit the general ones too.
        if both and name != GENERAL:
            names = [n for n in names if n != GENERAL]
    fitting = [each for each in fitting if each[0].name in names or source]
    if not fitting:
        return None
    if not source and is_official(data):
        fitting.append((find_definition(CHALLENGE), {}))
    if not source and len(fitting) == 1 and fitting[0][0].name != GENERAL:
        general = find_definition(GENERAL)
        rest = list_images(paths, fitting[0][0], None).unknown
        if any(map(enough, templates_used(rest, general).values())):
            fitting.append((general, {}))
    if len(fitting) > 1:
        two = " and of ".join(each.name for each, _ in fitting)
        remedy = "give the folder of one of them, or say which is meant: --source"
        raise InputError(data, f"holds files of {two}", remedy=remedy)
    definition, both = fitting[0]
    if definition.name == CHALLENGE or definition.twins:
        return Choice(definition, None)
    if len(both) > 1:
        pairs = [f"{definition.radar.files[n].text} ({count} files)" for n, count in both.items()]
        problem = f"holds pairs of {len(both)} layouts: {' and '.join(pairs)}"
        remedy = "give the folder of one of them, or a TOML file of your own by --source"
        raise InputError(data, problem, remedy=remedy)
    number = next(iter(both), None)
    if number is None:
        raise no_pairs(data, paths, definition)
    return Choice(definition, number)


def _is_tile(name: str) -> bool:
    return name.endswith(SUFFIX) or sensor_of(name) in BANDS


def nothing_fits(data: Path, paths: Sequence[str], definition: Definition) -> InputError:
    """What to raise where no file of a folder fits the source that the user named."""
    texts = [template.text for template in _templates(definition)]
    first = f", such as {paths[0]}" if paths else ""
    problem = f"none of its {len(paths)} files{first}, fits {' or '.join(texts[:2])}"
    if definition.name == CHALLENGE:
        problem += f"; tiles are called {FORM}"
    return InputError(data, problem, remedy="give another --source, or a TOML file of your own")


def _templates(definition: Definition) -> tuple[Template, ...]:
    return *definition.radar.files, *definition.optical.files
