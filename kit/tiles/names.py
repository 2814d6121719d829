"""What the name of a tile says: sensor, band, place and date."""

import datetime
import re
from dataclasses import dataclass
from functools import lru_cache

from kit.errors import InputError

SENSORS = {"radar": "Sentinel1", "optical": "Sentinel2"}
SUFFIXES = (".tiff", ".tif")
S1_BANDS = ("VV", "VH")
RGB_BANDS = ("B4", "B3", "B2")
S2_BANDS = (*RGB_BANDS, "QA60")
BANDS = {"Sentinel1": S1_BANDS, "Sentinel2": S2_BANDS}
_FLOATS = ("float32", "float64")
DTYPES = {"Sentinel1": _FLOATS, "Sentinel2": ("uint16", *_FLOATS)}
_SCENE_FORM = "<lon>_<lat>_<YYYY>_<MM>_<DD>"
FORM = f"<Sensor>_<BAND>_{_SCENE_FORM}.tiff"
# A band may hold underscores (Landsat's QA_PIXEL): the five fixed fields are the last five.
_PLACE_AND_DAY = r"(-?\d+\.\d+)_(-?\d+\.\d+)_(\d{4}_\d{2}_\d{2})"
FIELDS = rf"([A-Za-z]+\d*)_(\w+)_{_PLACE_AND_DAY}"  # a regular expression, for re.ASCII
_SCENE = re.compile(_PLACE_AND_DAY, re.ASCII)
_NAME = re.compile(rf"{FIELDS}(\.tiff?)", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class SceneKey:
    """One place at one date. Coordinates stay text: places are the same when their names are."""

    lon: str
    lat: str
    date: datetime.date

    @property
    def place(self) -> tuple[str, str]:
        """Longitude and latitude."""
        return self.lon, self.lat

    def __str__(self) -> str:
        return f"{self.lon}_{self.lat}_{self.date.isoformat().replace('-', '_')}"

    @classmethod
    def parse(cls, text: str) -> "SceneKey":
        """Read `<lon>_<lat>_<YYYY>_<MM>_<DD>`, as `str` writes it.

        Raises:
            InputError: the text has another form, or its date is not in the calendar.
        """
        match = _SCENE.fullmatch(text)
        if match is None:
            raise InputError(text, "not a place and a date", remedy=f"expected {_SCENE_FORM}")
        lon, lat, day = match.groups()
        return cls(lon, lat, _date(text, day))


@dataclass(frozen=True, slots=True, order=True)
class TileName:
    """What a tile's name says: sensor, band, and the scene it belongs to."""

    sensor: str
    band: str
    scene: SceneKey

    def __str__(self) -> str:
        return f"{self.sensor}_{self.band}_{self.scene}.tiff"

    @classmethod
    def parse(cls, name: str) -> "TileName":
        """Read a file name such as `Sentinel1_VH_-54.48_-3.33_2016_10_09.tiff`.

        Raises:
            InputError: the name has another form, or its date is not in the calendar.
        """
        sensor, band, lon, lat, day, _ = name_fields(name)
        return cls(sensor, band, SceneKey(lon, lat, _date(name, day)))


def name_fields(name: str) -> tuple[str, str, str, str, str, str]:
    """Split a file name into sensor, band, longitude, latitude, `YYYY_MM_DD` and suffix.

    This is the one rule of what a tile's name is. `TileName.parse` makes objects of its texts; who
    has a million names may keep the texts.

    Raises:
        InputError: the name has another form, or its date is not in the calendar.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(name, "not a tile name", remedy=f"expected {FORM}")
    sensor, band, lon, lat, day, suffix = match.groups()
    _date(name, day)
    return sensor, band, lon, lat, day, suffix


def sensor_of(name: str) -> str:
    """The sensor that a file name says; "" if it is no tile's."""
    try:
        return name_fields(name)[0]
    except InputError:
        return ""


def _date(name: str, day: str) -> datetime.date:
    try:
        return _calendar(day)
    except ValueError:
        raise InputError(
            name, "its date is not in the calendar", remedy=f"expected {FORM}"
        ) from None


# The tiles of a folder share their dates: few are made, and scenes of a day hold the same one.
@lru_cache(maxsize=1 << 14)
def _calendar(day: str) -> datetime.date:
    year, month, number = day.split("_")
    return datetime.date(int(year), int(month), int(number))
