"""A table of groups: places that belong together, by country or by source, say.

In: a CSV with the columns lon, lat and group, others being ignored. Out: the group of a place.
Refused by name: a table that is missing or empty, lacks a column, or has a place in two groups; and
a place that it does not list.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from kit.errors import InputError
from kit.ground import Place
from kit.storage.files import json_sha256

_COLUMNS = ("lon", "lat", "group")
_REMEDY = "write it as CSV with the columns lon, lat and group, a place a line"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of places; `path` is the table that they were read from."""

    path: Path
    by_place: dict[tuple[Decimal, Decimal], str]

    def of(self, places: Iterable[Place]) -> dict[Place, str]:
        """The group of each place.

        Raises:
            InputError: the table lists no group of a place; names the first few.
        """
        numbers = {place: (Decimal(place[0]), Decimal(place[1])) for place in places}
        missing = sorted(place for place, key in numbers.items() if key not in self.by_place)
        if missing:
            few = ", ".join("_".join(place) for place in missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            problem = f"has no group for {len(missing)} places of pairs: {few}{more}"
            raise InputError(self.path, problem, remedy="give each of them a line")
        return {place: self.by_place[key] for place, key in numbers.items()}

    @property
    def sha256(self) -> str:
        """SHA-256 of what the table says, whatever the order of its lines."""
        lines = [[*map(_text, place), group] for place, group in self.by_place.items()]
        return json_sha256(sorted(lines))


def read_groups(path: Path) -> Groups:
    """Read a table of groups.

    Raises:
        InputError: it is missing, unreadable or empty, lacks a column, or has a place in two groups
            or without one.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [*csv.DictReader(file)]
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=_REMEDY) from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(path, f"not readable as CSV ({error})", remedy=_REMEDY) from None
    if not rows:
        raise InputError(path, "lists no place", remedy=_REMEDY)
    if lacking := [name for name in _COLUMNS if name not in rows[0]]:
        raise InputError(path, f"has no column {' and none '.join(lacking)}", remedy=_REMEDY)
    found: dict[tuple[Decimal, Decimal], str] = {}
    for number, row in enumerate(rows, start=2):
        place, group = _place(path, number, row), (row["group"] or "").strip()
        if not group:
            raise InputError(path, f"its line {number} has no group", remedy=_REMEDY)
        if found.setdefault(place, group) != group:
            problem = f"its line {number} has {group} for the place that an earlier one has in "
            raise InputError(path, problem + found[place], remedy="give each place one group")
    return Groups(path, found)


def _place(path: Path, number: int, row: dict[str, str | None]) -> tuple[Decimal, Decimal]:
    try:
        lon, lat = (Decimal((row[name] or "").strip()) for name in ("lon", "lat"))
        if not (lon.is_finite() and lat.is_finite()):
            raise InvalidOperation
    except InvalidOperation:
        problem = f"its line {number} has {row['lon']!r} and {row['lat']!r} for a place"
        raise InputError(path, problem, remedy="write both as degrees, such as -54.48") from None
    return lon, lat


def _text(number: Decimal) -> str:
    return str(number.normalize() + 0)
