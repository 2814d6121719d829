"""Images of two sensors -> twins that show one place, each with its part of the split.

In: the images of a folder, and a definition that says which belong together: by equal fields, or by
a table or a JSON file beside them. Out: twins, and what has none. Refused by name: a table that
cannot be read, and an official list of the split that names images that are absent.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kit.errors import InputError
from kit.sources.definition import NAMES, Definition
from kit.sources.listing import PICTURES, Image, Listing
from kit.sources.template import PARTS
from kit.tiles.rejection import Rejection

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Twins:
    """An image of each sensor; one of them is None where a scene is on its own."""

    radar: Image | None
    optical: Image | None
    part: str


def find_twins(
    data: Path, found: Listing, definition: Definition, paths: Sequence[str]
) -> tuple[list[Twins], list[Rejection]]:
    """The twins in the order of their optical images, and images without one.

    Test images of the radar alone are kept: they can be predicted.

    Raises:
        InputError: a table of twins or a list of the split is wrong.
    """
    if definition.twins.get("apart"):
        alone = [Twins(image, None, "train") for image in found.radar.values()]
        return alone + [Twins(None, image, "train") for image in found.optical.values()], []
    radar_of, parts = _by_table(data, found, definition, paths)
    pairs: list[tuple[Image | None, Image]] = [
        (radar_of(image), image) for image in found.optical.values()
    ]
    paired = frozenset(each.name for pair in pairs if pair[0] for each in pair if each)
    listed = _by_lists(data, definition, paths, found.names, paired) | parts
    twins, rejected, used = [], [], set()
    for radar, optical in pairs:
        part = listed.get(optical.name) or optical.part
        part = part or (radar and (listed.get(radar.name) or radar.part)) or ""
        if radar is None:
            rejected.append(Rejection(optical.name, "no twin", "no radar image goes with it"))
        elif "train" in listed.values() and not part:
            rejected.append(Rejection(optical.name, "in no list", "no list of the split names it"))
            used.add(radar.key)
        else:
            used.add(radar.key)
            twins.append(Twins(radar, optical, part or "train"))
    for radar in found.radar.values():
        if radar.key in used:
            continue
        part = listed.get(radar.name) or radar.part
        if part == "test":
            twins.append(Twins(radar, None, part))
        else:
            rejected.append(Rejection(radar.name, "no twin", "no optical image goes with it"))
    return twins, rejected


def find_radar(
    data: Path, found: Listing, definition: Definition, paths: Sequence[str]
) -> tuple[list[Twins], int]:
    """The radar images that are to be predicted, with their optical twins if they have some.

    Where a part of the split is the test part, only its images are; returns the number of others.

    Raises:
        InputError: a table of the split or a list of it is wrong.
    """
    radar_of, parts = _by_table(data, found, definition, paths, needed=False)
    pairs = [(radar_of(image), image) for image in found.optical.values()]
    twin = {radar.key: optical for radar, optical in pairs if radar}
    listed = _by_lists(data, definition, paths, found.names, None) | parts

    def part_of(radar: Image) -> str:
        names = [image.name for image in (radar, twin.get(radar.key)) if image]
        return next((listed[name] for name in names if listed.get(name)), radar.part)

    part = {key: part_of(radar) for key, radar in found.radar.items()}
    some = "test" in part.values()
    chosen = [each for key, each in found.radar.items() if not some or part[key] == "test"]
    twins = [Twins(each, twin.get(each.key), "test") for each in chosen]
    return twins, len(part) - len(twins)


def _by_table(
    data: Path,
    found: Listing,
    definition: Definition,
    paths: Sequence[str],
    *,
    needed: bool = True,
) -> Any:
    """What gives the radar image of an optical one, and the parts that the table says."""
    asked = definition.twins
    parts: dict[str, str] = {}
    if not asked:
        return lambda image: found.radar.get(image.key), parts
    radars = {image.name: image for image in found.radar.values()}
    other: dict[str, str] = {}
    if table := next((p for p in paths if p.rpartition("/")[2] == asked.get("table")), None):
        rows = _read_table(data / table, [asked["radar"], asked["optical"]], asked.get("split"))
        for row in rows:
            other[str(row[asked["optical"]])] = str(row[asked["radar"]])
            if word := row.get(asked.get("split", "")):
                part = PARTS.get(str(word).lower(), "")
                parts |= {str(row[asked[sensor]]): part for sensor in ("radar", "optical")}
    elif "json" in asked:
        end = asked["json"].replace("*", "")
        beside = {p.rpartition("/")[0].rpartition("/")[2]: p for p in paths if p.endswith(end)}
        for name in radars:
            if name in beside and (twin := _read_twin(data / beside[name], asked["json_key"])):
                other[twin] = name
    if needed and not other and radars and found.optical:
        sought = [str(asked[key]) for key in ("table", "json") if key in asked]
        problem = f"has {'neither' if len(sought) > 1 else 'no'} {' nor '.join(sought)}"
        remedy = "it says which radar image goes with which optical one: fetch it too"
        raise InputError(data, problem, remedy=remedy)
    return lambda image: radars.get(other.get(image.name, "")), parts


def _read_twin(path: Path, key: str) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get(key, ""))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(path, f"not readable as JSON ({error})", remedy="fetch it again") from None


def _read_table(path: Path, columns: list[str], split: str | None) -> list[dict[str, Any]]:
    try:
        names = pq.read_schema(path).names
        if missing := [name for name in columns if name not in names]:
            problem = f"has no column {' and none '.join(missing)}"
            raise InputError(path, problem, remedy=f"its columns are {', '.join(names)}")
        wanted = [*columns, *([split] if split in names else [])]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=wanted).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            path, f"not readable as Parquet ({error})", remedy="fetch it again"
        ) from None
    return rows


def _by_lists(
    data: Path,
    definition: Definition,
    paths: Sequence[str],
    known: Set[str],
    paired: Set[str] | None,
) -> dict[str, str]:
    """The part of each known image that a list of the split names.

    Args:
        data: the folder.
        definition: says which files are lists.
        paths: of all files.
        known: the names of all images.
        paired: those of images with a twin, of which a list of what is trained on or validated by
            has to name one, and one of the test part an image; None if lists may be of other data.
    """
    found: dict[str, str] = {}
    for part, names in definition.lists.items():
        for path in (p for p in paths if p.rpartition("/")[2] in names):
            listed = _read_list(data / path)
            absent = [name for name in listed if name not in known]
            # A list of the whole data set beside a share of it is usual, one of other data is not.
            if paired is not None and listed and len(absent) == len(listed):
                few = ", ".join(absent[:_SHOWN])
                problem = f"names {len(listed)} images, and none of them is here: {few}"
                raise InputError(data / path, problem, remedy="remove it, or add those images")
            if paired and part != "test" and listed and paired.isdisjoint(listed):
                few = ", ".join(listed[:_SHOWN])
                problem = f"names {len(listed)} images, and none of them has a twin: {few}"
                raise InputError(data / path, problem, remedy="remove it, or add their twins")
            for name in listed:
                if found.setdefault(name, part) != part:
                    problem = f"names {name}, which the list of {found[name]} has too"
                    raise InputError(data / path, problem, remedy="leave it in one of them")
    return {name: part for name, part in found.items() if name in known}


def absent_from(
    data: Path, definition: Definition, paths: Sequence[str], found: Listing
) -> list[str]:
    """A line for each list of the split that names images which are not there.

    And one for each list that a source of one's own names and that is not there itself; those of
    the kit's sources may be.
    """
    known = found.names
    lines = []
    there = {path.rpartition("/")[2] for path in paths}
    for part, names in definition.lists.items():
        if definition.name not in NAMES:
            missing = ", ".join(name for name in names if name not in there)
            lines += [f"no {missing} is here, which is to list the {part} part"] if missing else []
        for path in (p for p in paths if p.rpartition("/")[2] in names):
            listed = _read_list(data / path)
            absent = [name for name in listed if name not in known]
            if absent:
                few = ", ".join(absent[:_SHOWN])
                share = f"{len(absent)} of {len(listed)} images that are absent"
                lines.append(f"{path}: names {share}, {few} first")
    return lines


def _read_list(path: Path) -> list[str]:
    """The names in a list: the first cell of each line, without a suffix."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [row[0].strip() for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            path, f"not readable as a list ({error})", remedy="fetch it again"
        ) from None
    return [_without_suffix(cell.rpartition("/")[2]) for cell in cells if cell]


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in PICTURES else name


def tally_parts(twins: Iterable[Twins]) -> Mapping[str, int]:
    """How many twins each part has."""
    return dict(Counter(each.part for each in twins))
