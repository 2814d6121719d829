"""A folder of files -> the images of both sensors that a definition finds in it.

In: paths relative to the folder, and a definition. Out: an image for each scene of a sensor with
the files of its bands, and all that was left aside. No file is opened.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import InputError
from kit.progress import Advance
from kit.sources.definition import Definition
from kit.sources.template import PARTS, Match
from kit.storage.walk import walk

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
_EVERY = 4096  # files between two calls of `advance`


@dataclass(slots=True)
class Image:
    """A scene of one sensor: its fields, and for each band the file that holds it, "" for all.

    `key` is what its twin has in common with it, and `name` what lists and tables call it.
    """

    sensor: str
    key: tuple[str, ...]
    fields: dict[str, str]
    name: str
    part: str
    files: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    """What was found: the images of a sensor by their key, and the files left aside or unknown."""

    radar: dict[tuple[str, ...], Image] = field(default_factory=dict)
    optical: dict[tuple[str, ...], Image] = field(default_factory=dict)
    aside: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def of(self, sensor: str) -> dict[tuple[str, ...], Image]:
        """The images of "radar" or of "optical"."""
        return self.radar if sensor == "radar" else self.optical

    @property
    def names(self) -> frozenset[str]:
        """What lists of the split may call the images of both sensors."""
        return frozenset(i.name for side in (self.radar, self.optical) for i in side.values())


def list_files(data: Path, advance: Advance | None = None) -> list[str]:
    """The paths of all files under a folder, relative to it and with slashes, sorted.

    Raises:
        InputError: there is no such folder, or it cannot be listed.
    """
    if not data.is_dir():
        problem = "is not a folder" if data.exists() else "no such folder"
        raise InputError(data, problem, remedy="give the folder that holds the images")

    def refuse(error: OSError) -> None:
        raise InputError(str(error.filename), f"cannot be listed ({error.strerror})") from None

    found: list[str] = []
    before = len(os.path.join(data, ""))
    for entry in walk(data, links="always", hidden=False, onerror=refuse):
        found.append(entry.path[before:].replace(os.sep, "/"))
        if advance and len(found) % _EVERY == 0:
            advance(len(found), 0, "listing files")
    return sorted(found)


def templates_used(paths: Sequence[str], definition: Definition) -> dict[int, tuple[int, int]]:
    """How many radar and optical files each of the definition's alternatives finds first."""
    counts: dict[int, tuple[int, int]] = {}
    for sensor, number, _, _ in _matches(paths, definition):
        radar, optical = counts.get(number, (0, 0))
        is_radar = sensor == "radar"
        counts[number] = (radar + is_radar, optical + (not is_radar))
    return counts


def list_images(paths: Sequence[str], definition: Definition, number: int | None) -> Listing:
    """The images of both sensors.

    Args:
        paths: of all files.
        definition: says what they are.
        number: the one alternative of the definition that counts; all if None.
    """
    found = Listing()
    known = set()
    inexact: set[tuple[str, ...]] = set()
    for path in paths:
        if any(template.match(path) for template in definition.aside):
            found.aside.append(path)
            known.add(path)
    for sensor, index, path, match in _matches(paths, definition):
        if path in known or (number is not None and index != number):
            continue
        known.add(path)
        _enter(found, definition, sensor, path, match, inexact)
    found.unknown = [p for p in paths if p not in known and p.lower().endswith(PICTURES)]
    return found


def _matches(paths: Sequence[str], definition: Definition) -> Iterator[tuple[str, int, str, Match]]:
    """For each file that fits a template its sensor, the number of the template, and its fields."""
    for path in paths:
        for number in range(max(len(definition.radar.files), len(definition.optical.files))):
            for sensor in ("radar", "optical"):
                templates = definition.side(sensor).files
                match = templates[number].match(path) if number < len(templates) else None
                if match:
                    yield sensor, number, path, match
                    break
            else:
                continue
            break


def _enter(
    found: Listing,
    definition: Definition,
    sensor: str,
    path: str,
    match: Match,
    inexact: set[tuple[str, ...]],
) -> None:
    """Enter a file; `inexact` are the bands whose file is spelled with other capitals."""
    fields = {name: value for name, value in match.fields.items() if name != "band"}
    part = PARTS.get(fields.get("part", "").lower(), "")
    for folder in path.lower().split("/")[:-1]:
        part = part or PARTS.get(folder, "")
    side = definition.side(sensor)
    band = side.band_called(match.fields["band"]) if side.by_name else ""
    if band is None:
        return  # one that the kit does not use
    key = (match.folder, *(f"{n}={v}" for n, v in sorted(fields.items())))
    name = fields.get("patch") if side.by_name and "patch" in fields else None
    images = found.of(sensor)
    if key not in images:
        stem = name or path.rpartition("/")[2].rpartition(".")[0]
        images[key] = Image(sensor, key, fields, stem, part)
    # Of two files of one band, such as .png and .tif, the first by name counts; but before those
    # that differ in capitals the one that is written as the definition has it.
    is_exact, entry = match.fields.get("band", "") == band, (sensor, *key, band)
    if band not in images[key].files or (is_exact and entry in inexact):
        images[key].files[band] = path
        (inexact.discard if is_exact else inexact.add)(entry)
