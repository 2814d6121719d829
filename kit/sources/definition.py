"""A layout of input: how paths say what files hold, in which units, and what is missing.

In: the name of a layout that comes with the kit, or the path of a TOML file. Out: a definition.
Refused by name: a file that cannot be read, a key that is unknown, a value that cannot be.
"""

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast, get_args

from kit.errors import InputError, no_such
from kit.sources.template import Template
from kit.tiles.names import RGB_BANDS, S1_BANDS

RadarUnit = Literal["dB", "power", "picture"]
OpticalUnit = Literal["DN", "reflectance", "percent", "picture"]
UNITS: dict[str, tuple[str, ...]] = {
    "radar": get_args(RadarUnit),
    "optical": get_args(OpticalUnit),
}
"""`power` is linear, `reflectance` is 0 to 1, and a picture has numbers without a unit."""

NAMES = ("multiearth", "sen12ms", "bigearthnet", "pairs")
_BANDS = {"radar": (S1_BANDS, S1_BANDS), "optical": (RGB_BANDS, (*RGB_BANDS, "QA60"))}
_DEFAULT_DATE = datetime.date(2000, 1, 1)
_TOP = {
    "about": str, "group": list, "aside": list, "max_cloud": float, "date": str,
    "radar": dict, "optical": dict, "dates": dict, "twins": dict, "lists": dict,
}  # fmt: skip
_SIDE = {"files": list, "bands": dict, "unit": str, "count": int}
_TWINS = {
    "apart": bool, "json": str, "json_key": str, "table": str, "radar": str, "optical": str,
    "split": str,
}  # fmt: skip
_WITH = {"table": ("radar", "optical"), "json": ("json_key",)}  # what a key of [twins] needs
_REMEDY = "the how-to page on a source of your own shows a whole file"


@dataclass(frozen=True)
class Side:
    """The files of one sensor.

    `bands` says for each of the kit's bands which band of a file it is, by position from 1, or
    which file, by what stands for {band} in its name; none where the number of bands decides.
    `count` is how many bands a file has to have, 0 for any number.
    """

    files: tuple[Template, ...]
    bands: Mapping[str, int | str]
    unit: str
    count: int = 0

    @property
    def by_name(self) -> bool:
        """Whether each band is a file of its own."""
        return any(isinstance(band, str) for band in self.bands.values())

    def band_called(self, word: str) -> str | None:
        """The name among `bands` that a file's {band} is.

        Capitals matter only where two bands differ in nothing else.
        """
        return word if word in self.bands.values() else self._in_small_letters.get(word.lower())

    @cached_property
    def _in_small_letters(self) -> Mapping[str, str]:
        return {str(name).lower(): str(name) for name in self.bands.values()}


@dataclass(frozen=True)
class Definition:
    """A layout of input; the keys of its TOML file are those of `docs/how-to/source-own.md`.

    The words of `dates` are in small letters.
    """

    name: str
    where: str
    about: str
    radar: Side
    optical: Side
    group: tuple[str, ...] = ()
    aside: tuple[Template, ...] = ()
    max_cloud: float = 0.0
    date: datetime.date = _DEFAULT_DATE
    dates: Mapping[str, datetime.date] = field(default_factory=dict)
    date_field: str = ""
    twins: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def side(self, sensor: str) -> Side:
        """The files of "radar" or of "optical"."""
        return self.radar if sensor == "radar" else self.optical


def find_definition(source: str) -> Definition:
    """The definition of that name, or in the TOML file of that path.

    Raises:
        InputError: there is none, or its file is wrong.
    """
    if source in NAMES:
        path = files("kit.sources") / "definitions" / f"{source}.toml"
        return _read(source, source, path.read_text(encoding="utf-8"))
    if not source.endswith(".toml"):
        raise no_such("source", source, NAMES, ", or a TOML file of your own")
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=f"known are {', '.join(NAMES)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable ({error})", remedy=_REMEDY) from None
    return _read(path.stem, str(path), text)


def _read(name: str, where: str, text: str) -> Definition:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(where, f"not TOML ({error})", remedy=_REMEDY) from None
    _check_keys(where, "", table, _TOP)
    for sensor in ("radar", "optical"):
        if sensor not in table:
            raise InputError(where, f"has no table [{sensor}]", remedy=_REMEDY)
    dates = dict(table.get("dates", {}))
    date_field = str(dates.pop("field", ""))
    twins = table.get("twins", {})
    _check_keys(where, "twins", twins, _TWINS)
    _check_twins(where, twins)
    found = Definition(
        name=name,
        where=where,
        about=table.get("about", ""),
        radar=_side(where, "radar", table["radar"]),
        optical=_side(where, "optical", table["optical"]),
        group=tuple(map(str, table.get("group", ()))),
        aside=_templates(where, "aside", table.get("aside", [])),
        max_cloud=float(table.get("max_cloud", 0.0)),
        date=_date(where, "date", table.get("date", str(_DEFAULT_DATE))),
        dates={word.lower(): _date(where, word, day) for word, day in dates.items()},
        date_field=date_field,
        twins=twins,
        lists=_lists(where, table.get("lists", {})),
    )
    if len(found.radar.files) != len(found.optical.files) and not twins:
        problem = "radar.files and optical.files are lists of different lengths"
        raise InputError(where, problem, remedy="the first of one goes with the first of the other")
    if dates and not date_field:
        raise InputError(where, "[dates] does not say its field", remedy='add field = "season"')
    _check_fields(found)
    return found


def _check_twins(where: str, twins: Mapping[str, Any]) -> None:
    """Refuse a [twins] that does not say how images are told to belong together."""
    if not twins or twins.get("apart"):
        return
    if not twins.keys() & _WITH.keys():
        problem = f"[twins] has no {', '.join(_WITH)} or apart"
        raise InputError(where, problem, remedy=_REMEDY)
    for key, needed in _WITH.items():
        missing = [name for name in needed if key in twins and name not in twins]
        if missing:
            problem = f"[twins] has {key}, and no {', '.join(missing)}"
            remedy = "name the columns of the table, or the key of the JSON files"
            raise InputError(where, problem, remedy=remedy)


def _check_fields(found: Definition) -> None:
    """Refuse fields that no file has, and twins that no file could have."""
    both = (*found.radar.files, *found.optical.files)
    fields = frozenset[str]().union(*(template.fields for template in both))
    for key, names in (("group", found.group), ("[dates] field", (found.date_field,))):
        if unknown := [name for name in names if name and name not in fields]:
            problem = f"{key} names {', '.join(unknown)}, and no template has that field"
            raise InputError(found.where, problem, remedy=f"known: {', '.join(sorted(fields))}")
    if found.twins:
        return
    for radar, optical in zip(found.radar.files, found.optical.files, strict=True):
        alone = (radar.fields ^ optical.fields) - {"band"}
        if alone:
            problem = f"{radar.text} and {optical.text} do not share {', '.join(sorted(alone))}"
            remedy = "the two images of a pair have equal fields: write * for what differs"
            raise InputError(found.where, problem, remedy=remedy)


def _side(where: str, sensor: str, table: Mapping[str, Any]) -> Side:
    _check_keys(where, sensor, table, _SIDE)
    templates = _templates(where, f"{sensor}.files", table.get("files", []))
    if not templates:
        raise InputError(where, f"{sensor}.files lists no template", remedy=_REMEDY)
    bands, (needed, known) = table.get("bands", {}), _BANDS[sensor]
    for band, at in bands.items():
        if band not in known:
            raise InputError(
                where, f"{sensor}.bands has {band}", remedy=f"known: {', '.join(known)}"
            )
        if not isinstance(at, int | str) or (isinstance(at, int) and at < 1):
            problem = f"{sensor}.bands has {band} = {at!r}"
            remedy = "give the position in the file, from 1, or the word that stands for {band}"
            raise InputError(where, problem, remedy=remedy)
    # The radar's may be left out: of one grey band, and of two, the kit knows what they are.
    missing = [band for band in needed if band not in bands]
    if missing and (bands or sensor == "optical"):
        raise InputError(where, f"{sensor}.bands lacks {', '.join(missing)}", remedy=_REMEDY)
    if len({type(at) for at in bands.values()}) > 1:
        problem = f"{sensor}.bands gives some bands by position and others by name"
        raise InputError(where, problem, remedy="give all positions, or all names")
    unit = table.get("unit", UNITS[sensor][0])
    if unit not in UNITS[sensor]:
        raise InputError(
            where, f"{sensor}.unit is {unit!r}", remedy=f"known: {', '.join(UNITS[sensor])}"
        )
    side = Side(templates, bands, unit, table.get("count", 0))
    named = all("{band}" in template.text for template in templates)
    if side.by_name and not named:
        problem = f"{sensor}.bands gives names, and {sensor}.files has no {{band}}"
        raise InputError(where, problem, remedy="write {band} where the name of the band stands")
    if named and not side.by_name:
        problem = f"{sensor}.files has {{band}}, and {sensor}.bands gives no names"
        raise InputError(where, problem, remedy='write bands = { VV = "VV", VH = "VH" }, say')
    return side


def _templates(where: str, key: str, texts: Any) -> tuple[Template, ...]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(where, f"{key} is no list of texts", remedy=_REMEDY)
    found = tuple(Template(text, where) for text in texts)
    for template in found:
        template.match("")  # refuses one that is wrong
    return found


def _lists(where: str, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    for part, names in table.items():
        if part not in ("train", "val", "test"):
            raise InputError(where, f"[lists] has {part}", remedy="known: train, val, test")
        if not isinstance(names, list):
            raise InputError(where, f"[lists] {part} is no list of files", remedy=_REMEDY)
    return {part: tuple(map(str, names)) for part, names in table.items()}


def _date(where: str, key: str, text: Any) -> datetime.date:
    try:
        return datetime.date.fromisoformat(str(text))
    except ValueError:
        raise InputError(where, f"{key} = {text!r} is no date", remedy="write 2017-04-15") from None


def _check_keys(where: str, table: str, found: Any, known: Mapping[str, type]) -> None:
    name = f"[{table}]" if table else "the file"
    if not isinstance(found, dict):
        raise InputError(where, f"{name} is no table", remedy=_REMEDY)
    for key, value in found.items():
        if key not in known:
            raise InputError(
                where, f"{name} has the key {key}", remedy=f"known: {', '.join(known)}"
            )
        kind = known[key]
        if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise InputError(where, f"{key} = {value!r} is no {_WORDS[kind]}", remedy=_REMEDY)


_WORDS = cast(
    "dict[type, str]",
    {str: "text", list: "list", dict: "table", float: "number", int: "whole number", bool: "truth"},
)
