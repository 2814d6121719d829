"""One NetCDF file of the 2023 edition, opened: what it holds, and its scenes one by one.

In: a file with `images(index, data_band, channel=1, row, col)`, `collection_dates(index)`,
`center_lat_lons(index, 2)` and the texts `data_band`, in any order of axes. Out: sensor, bands, the
place and date of each index, and pixels. Refused by name: a file that is damaged, lacks one of
these, scales its numbers by attributes, or refers to other files; a missing xarray, h5netcdf or
h5py.

xarray finds everything by name. It needs 7 ms to index a large file, so that single scenes are read
through h5py where they are stored as the edition stores them.
"""

import datetime
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.plain_text import one_line
from kit.tiles.hdf5_chunks import Chunks
from kit.tiles.hdf5_links import reference
from kit.tiles.raster import Raster

# Limits, because memory is allocated for whatever a header claims.
_MOST_SCENES = 10_000_000
_MOST_BANDS = 64
_MOST_BYTES = 2**30  # of a scene, and of a chunk
_NEEDED = ("index", "data_band", "row", "col")
_NUMBERS = ("index", "channel", "row", "col")  # coordinates that say nothing about their axis
_SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
_MIDNIGHT = r"(?:[T ]+0?0:00(?::00(?:\.0+)?)?)?(?: ?(?:Z|UTC))?"
_UNITS = re.compile(rf"({'|'.join(_SECONDS)}) since (\d{{1,4}})-(\d\d?)-(\d\d?){_MIDNIGHT}")
_CALENDARS = ("", "standard", "gregorian", "proleptic_gregorian")
_VALID = {"range": 2, "min": 1, "max": 1}  # attributes valid_*, and how many numbers each holds
_SOURCE = re.compile(r"([A-Za-z]+)[-_ ]?(\d)\w*")
_FORM = "expected images(index, data_band, channel=1, row, col)"

Place = tuple[str, str, str]  # longitude and latitude, "%.2f", and YYYY_MM_DD
Pixels = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Head:
    """What a file holds: the sensor as tiles name it, and its bands in the file's order."""

    sensor: str
    bands: tuple[str, ...]
    dtype: str
    scenes: int
    height: int
    width: int


class NcFile:
    """An open file. One thread at a time may call it; what `fetch` returns any thread may.

    Args:
        path: where it is.

    Raises:
        InputError: it is damaged or has another form, or a library is missing.
    """

    def __init__(self, path: str) -> None:
        xarray, h5py = libraries(path)
        self._path = path
        try:
            self._file = h5py.File(path, "r")
        except Exception as error:
            raise damaged(path, error) from None
        try:
            if problem := reference(self._file):
                remedy = "fetch the file again, or copy what it refers to into it"
                raise InputError(path, problem, remedy=remedy)
            # Numbers as they are: DN and dB need no scaling, and days no rounding.
            self._data = xarray.open_dataset(
                path, engine="h5netcdf", mask_and_scale=False, decode_times=False,
                decode_coords=False, cache=False, drop_variables=_NUMBERS,
            )  # fmt: skip
        except Exception as error:
            self._file.close()
            raise error if isinstance(error, InputError) else damaged(path, error) from None
        try:
            self._look()
        except Exception as error:
            self.close()
            raise error if isinstance(error, InputError) else damaged(path, error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._data.close()

    def walk(self) -> None:
        """Go through the lists of chunks from end to end."""
        for dataset in (self._file["images"], self._centres, self._dates):
            if dataset.chunks is not None:
                dataset.id.get_num_chunks()

    def places(self, start: int, stop: int) -> list[Place | InputError]:
        """Place and date of some indices, or what is wrong with them.

        Raises:
            ValueError: they cannot be read.
        """
        rows = slice(start, stop)
        at = tuple(rows if dim == "index" else slice(None) for dim in self._centre_dims)
        try:
            centres, dates = self._centres[at], self._dates[rows]
        except Exception as error:
            raise ValueError(_cause(error)) from None
        if self._centre_dims[0] != "index":
            centres = centres.T
        return [*map(self._place, centres.tolist(), dates.tolist())]

    def fetch(self, index: int) -> Callable[[], list[Raster]]:
        """What makes the bands of bytes that are read by now; it may raise ValueError.

        A pixel equal to a declared fill value, or outside a declared range, is not valid.

        Raises:
            ValueError: they cannot be read.
        """
        chunks = self._chunks
        raw = chunks.raw(index) if chunks else None
        if chunks and raw is not None:
            return lambda: self._finish(_inflated(chunks, raw))
        try:
            pixels = self._data["images"].isel(index=slice(index, index + 1)).values
        except Exception as error:
            raise ValueError(_cause(error)) from None
        return lambda: self._finish(pixels)

    def _finish(self, pixels: Pixels) -> list[Raster]:
        axes = [self._dims.index(dim) for dim in ("data_band", "row", "col")]
        rest = [axis for axis in range(pixels.ndim) if axis not in axes]
        ordered = pixels.transpose(*axes, *rest)
        scene = ordered.reshape(ordered.shape[:3]).astype(self.head.dtype)
        low, high = self._range
        tests = [scene == fill for fill in self._fills]
        tests += [scene < low] if low is not None else []
        tests += [scene > high] if high is not None else []
        if not tests:
            return [Raster(band) for band in scene]
        invalid = np.logical_or.reduce(tests)
        return [Raster(band, gaps) for band, gaps in zip(scene, invalid, strict=True)]

    def _look(self) -> None:
        """Find everything by its name, and refuse what is not as it should be."""
        data, where = self._data, self._path
        if "images" not in data:
            raise InputError(where, "has no images", remedy="lists of targets hold no scenes")
        images = data["images"]
        sizes = {str(dim): size for dim, size in images.sizes.items()}
        others = {dim: size for dim, size in sizes.items() if dim not in _NEEDED and size != 1}
        if others or any(dim not in sizes for dim in _NEEDED):
            raise InputError(where, f"has images({_listed(sizes)})", remedy=_FORM)
        n, bands = sizes["index"], sizes["data_band"]
        scene = math.prod(size for dim, size in sizes.items() if dim != "index")
        chunks = self._file["images"].chunks or (1,)
        if (
            n > _MOST_SCENES
            or bands > _MOST_BANDS
            or max(scene, math.prod(chunks)) * images.dtype.itemsize > _MOST_BYTES
        ):
            claim = f"images({_listed(sizes)}) in chunks of {chunks}"
            raise InputError(where, f"has {claim}", remedy="write it with one scene in a chunk")
        for name, shape in (("collection_dates", (n,)), ("data_band", (bands,))):
            if name not in data.variables or data[name].shape != shape:
                raise InputError(where, f"has no {name} of length {shape[0]}", remedy=_FORM)
        names = tuple(_text(name) for name in data["data_band"].values.tolist())
        if len(set(names)) < bands:
            raise InputError(where, f"has a band twice: {', '.join(names)}", remedy=_FORM)
        self._dims = tuple(sizes)
        self._fills = _fills(where, images)
        self._range = _valid_range(where, images)
        self._no_date = _fills(where, data["collection_dates"])
        self._start, self._step = _calendar(where, data["collection_dates"])
        self._centre_dims, self._lat, self._lon = _centres(where, data, n)
        self._centres, self._dates = self._file["center_lat_lons"], self._file["collection_dates"]
        self._chunks = Chunks.of(self._file["images"], self._dims.index("index"))
        size = sizes["row"], sizes["col"]
        self.head = Head(_sensor(where, data.attrs), names, images.dtype.name, n, *size)

    def _place(self, centre: Sequence[float], date: float) -> Place | InputError:
        lat, lon = centre[self._lat], centre[self._lon]
        if not (abs(lat) <= 90 and abs(lon) <= 180):
            return InputError(self._path, f"its centre is lat {lat}, lon {lon}")
        try:
            if date in self._no_date:
                raise ValueError
            days = math.floor(date * self._step) // 86400
            day = datetime.date.fromordinal(self._start + days)
        except (ValueError, OverflowError):
            return InputError(self._path, f"its date is {date}, which is not in the calendar")
        # Zero has no sign in a name.
        lon, lat = (round(degrees, 2) + 0.0 for degrees in (lon, lat))
        return f"{lon:.2f}", f"{lat:.2f}", day.isoformat().replace("-", "_")


def damaged(where: str, error: Exception) -> InputError:
    """The error for a file, or a scene in it, that cannot be read."""
    return InputError(
        where, f"not readable as NetCDF ({_cause(error)})", remedy="fetch the file again"
    )


def _cause(error: Exception) -> str:
    """A damaged file fails anywhere in three libraries, with any exception."""
    return one_line(error) or type(error).__name__


def libraries(path: str) -> tuple[Any, Any]:
    """What reads a file: xarray and h5py.

    Raises:
        InputError: one of them, or h5netcdf, is not installed.
    """
    try:
        import h5netcdf  # noqa: F401  # xarray opens files with it
        import h5py
        import xarray
    except ImportError as error:
        raise InputError(
            path,
            f"needs {error.name}, which is not installed",
            remedy="pip install 'sar-to-optical-kit[netcdf]'",
        ) from None
    return xarray, h5py


def _inflated(chunks: Chunks, raw: bytes) -> Pixels:
    try:
        return chunks.pixels(raw)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def _sensor(where: str, attributes: Mapping[Any, Any]) -> str:
    """Sentinel1 for "Sentinel-1"; the official toolkit knows "Sentinal-2" too."""
    source = _text(attributes.get("data_source", ""))
    match = _SOURCE.fullmatch(source.strip())
    if match is None:
        raise InputError(
            where, f"data_source is {source!r}", remedy="expected Sentinel-1 or Sentinel-2"
        )
    return match[1].capitalize().replace("Sentinal", "Sentinel") + match[2]


def _fills(where: str, variable: Any) -> list[Any]:
    """The fill values that a variable declares."""
    found = variable.encoding | variable.attrs
    for name, neutral in (("scale_factor", 1), ("add_offset", 0)):
        if found.get(name, neutral) != neutral:
            raise InputError(
                where,
                f"{variable.name} has the {name} {found[name]}",
                remedy="write dB, DN, days and degrees as they are",
            )
    values = [np.ravel(found[name]) for name in ("_FillValue", "missing_value") if name in found]
    return [value for array in values for value in array.tolist()]


def _valid_range(where: str, variable: Any) -> tuple[Any, Any]:
    """The least and the largest valid value that a variable declares, by CF; None for neither."""
    found = {name: np.ravel(variable.attrs.get(f"valid_{name}", [])) for name in _VALID}
    if any(found[name].size not in (0, size) for name, size in _VALID.items()):
        listed = ", ".join(f"valid_{name} of {len(values)}" for name, values in found.items())
        raise InputError(where, f"{variable.name} has {listed} numbers", remedy=_FORM)
    low, high = found["range"].tolist() or (None, None)
    return (*found["min"].tolist(), low)[0], (*found["max"].tolist(), high)[0]


def _calendar(where: str, dates: Any) -> tuple[int, int]:
    """The day that dates count from, as an ordinal, and the seconds of one step."""
    units, calendar = (_text(dates.attrs.get(name, "")) for name in ("units", "calendar"))
    match = _UNITS.fullmatch(units.strip())
    try:
        if match is None or calendar.lower() not in _CALENDARS or dates.dtype.kind not in "iuf":
            raise ValueError
        start = datetime.date(*map(int, match.groups()[1:]))
    except ValueError:
        problem = f"collection_dates are {dates.dtype} with the units {units!r}"
        problem += f" of the calendar {calendar!r}" if calendar else ""
        raise InputError(where, problem, remedy="expected days since YYYY-MM-DD") from None
    return start.toordinal(), _SECONDS[match[1]]


def _centres(where: str, data: Any, n: int) -> tuple[tuple[str, ...], int, int]:
    """Axes of the centres, and which of two is latitude: in this order where no name says so."""
    remedy = "expected center_lat_lons(index, 2) in degrees"
    if "center_lat_lons" not in data:
        raise InputError(where, "has no center_lat_lons", remedy=remedy)
    centres = data["center_lat_lons"]
    _fills(where, centres)
    dims = tuple(map(str, centres.dims))
    pair = [dim for dim in dims if dim != "index"]
    right = len(dims) == 2 and dict(centres.sizes) == {"index": n} | dict.fromkeys(pair, 2)
    if not right or centres.dtype.kind not in "iuf":
        listed = _listed(centres.sizes)
        raise InputError(where, f"has center_lat_lons({listed}), {centres.dtype}", remedy=remedy)
    names = data[pair[0]].values.tolist() if pair[0] in data.variables else []
    swapped = [_text(name).lower()[:3] for name in names] == ["lon", "lat"]
    return dims, int(swapped), int(not swapped)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _listed(sizes: Mapping[Any, int]) -> str:
    return ", ".join(f"{dim}={size}" for dim, size in sizes.items())
