"""Many scenes' tiles at once, into batches of one size each.

In: the files of each scene's bands. Out: the pixels, the same as `kit.tiles.bands.read_bands`
gives, and the errors that it raises, scene by scene. The compiled core reads plain tiles; whatever
is damaged, or declares more of its pixels than their type and place, goes through rasterio, and
scenes in NetCDF files are inflated by threads. `KIT_TILES` picks rasterio for all tiles, or insists
on the core.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.machine.native import REMEDIES, load, pick_backend
from kit.tiles.bands import read_bands_and_type
from kit.tiles.names import RGB_BANDS
from kit.tiles.netcdf import File, Plane
from kit.tiles.sidecars import with_sidecars

VARIABLE = "KIT_TILES"
_KINDS: dict[str, tuple[int, np.dtype[Any]]] = {
    "Sentinel1": (1, np.dtype(np.float32)),
    "Sentinel2": (0, np.dtype(np.uint16)),
}
_OFFICIAL = (256, 256)
_LARGEST_BATCH = 2**28  # bytes; a larger scene is a batch of its own
_CACHED = 2**24  # bytes of pixels that are still in the cache when they are counted
_MOST = 512
_FIELDS = 4
_READ, _OTHER_SIZE, _NOT_READ = range(3)  # the status in ext/tiles.cpp
_Read = tuple[NDArray[np.generic], bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """Scenes of one size: which of those asked for, and their pixels [n, bands, H, W].

    `placed` says of each whether its files may declare where they lie (see
    `kit.tiles.bands.scene_grid`), and `float16` whether they hold floats of 16 bits. `core` says
    whether the compiled core read them, which reads neither these nor optical floats.
    """

    indices: tuple[int, ...]
    pixels: NDArray[Any]
    placed: tuple[bool, ...]
    float16: tuple[bool, ...]
    core: bool = False


class Reader:
    """Reads scenes into one buffer that it keeps: a batch is valid until the next call.

    Filling fresh memory costs more than reading into it. A reader belongs to one thread at a time;
    the interpreter is free while the core reads.

    Args:
        threads: how many the core uses.
        backend: "native" or "rasterio"; the one that `backend()` names when None.
        colors: how many bands of an optical scene are reflectance at most.

    Raises:
        InputError: the backend is unknown or missing.
    """

    def __init__(
        self, threads: int, backend: str | None = None, *, colors: int = len(RGB_BANDS)
    ) -> None:
        self._threads = threads
        self._attempt = partial(_attempt, colors)
        self._core = _pick(backend)
        self._size = _OFFICIAL
        self._buffer = np.empty(0, np.uint8)

    def read(
        self, sensor: str, scenes: Sequence[Sequence[File]]
    ) -> tuple[list[Batch], dict[int, InputError]]:
        """Read scenes of one sensor.

        Args:
            sensor: "Sentinel1", read as float32 dB, or "Sentinel2", read as uint16 DN.
            scenes: the files of each scene's bands.

        Returns:
            The scenes that could be read, in one or more batches for each size; and for each of the
            others its index and the error of `read_bands`.
        """
        batches: list[Batch] = []
        planes = [i for i, files in enumerate(scenes) if any(isinstance(f, Plane) for f in files)]
        left = sorted({*range(len(scenes))}.difference(planes))
        if self._core and scenes:
            plain = [i for i in left if len(scenes[i]) == len(scenes[0])]
            declared = with_sidecars([str(file) for i in plain for file in scenes[i]])
            if declared:
                plain = [i for i in plain if declared.isdisjoint(map(str, scenes[i]))]
            sizes = self._read_group(sensor, scenes, plain, self._size, batches)
            for size in sorted(set(sizes.values())):
                group = [i for i, other in sizes.items() if other == size]
                self._read_group(sensor, scenes, group, size, batches)
            if batches:
                largest = max(batches, key=lambda batch: len(batch.indices))
                self._size = largest.pixels.shape[2:]
            done = {i for batch in batches for i in batch.indices}
            left = [i for i in left if i not in done]
        found = [(i, self._attempt(sensor, scenes[i])) for i in left]
        if planes:
            with ThreadPoolExecutor(self._threads) as pool:
                made = pool.map(partial(self._attempt, sensor), [scenes[i] for i in planes])
                found += zip(planes, made, strict=True)
        errors = {i: item for i, item in found if isinstance(item, InputError)}
        pixels = {i: item for i, item in found if not isinstance(item, InputError)}
        del found
        return batches + _batches(pixels), errors

    def read_all(
        self, sensor: str, scenes: Sequence[Sequence[File]]
    ) -> Iterator[tuple[int, list[Batch], dict[int, InputError]]]:
        """`read` any number of scenes, as many at a time as fit into the processor's cache.

        Yields:
            The index of the first of them, and what `read` gives, counted from there.
        """
        start, few = 0, 1
        while start < len(scenes):
            batches, errors = self.read(sensor, scenes[start : start + few])
            done, largest = few, max((batch.pixels[0].nbytes for batch in batches), default=0)
            yield start, batches, errors
            del batches
            start += done
            few = min(max(1, _CACHED // largest), _MOST) if largest else few

    def _read_group(
        self,
        sensor: str,
        scenes: Sequence[Sequence[File]],
        group: Sequence[int],
        size: tuple[int, int],
        batches: list[Batch],
    ) -> dict[int, tuple[int, int]]:
        """Append what the core reads at `size`; return the scenes that have another, with it."""
        kind, dtype = _KINDS[sensor]
        others: dict[int, tuple[int, int]] = {}
        for part in _slices(group, len(scenes[0]) * size[0] * size[1] * dtype.itemsize):
            shape = (len(part), len(scenes[0]), *size)
            # Only one batch can have the buffer.
            pixels = np.empty(shape, dtype) if batches else self._view(shape, dtype)
            tiles = self._call(kind, [str(file) for i in part for file in scenes[i]], pixels)
            rows = tiles.reshape(len(part), -1, _FIELDS)
            complete = (rows[..., 0] == _READ).all(axis=1)
            placed = (False,) * len(part)
            if rows[..., 3].any():
                # Whether grids that are not the same bytes agree, rasterio knows.
                complete &= (rows[..., 3] == rows[:, :1, 3]).all(axis=1)
                placed = tuple((rows[:, 0, 3] != 0).tolist())
            read = np.flatnonzero(complete).tolist()
            for new, old in enumerate(read):
                if new != old:
                    pixels[new] = pixels[old]
            if read:
                batches.append(
                    Batch(
                        tuple(part[k] for k in read),
                        pixels[: len(read)],
                        tuple(placed[k] for k in read),
                        (False,) * len(read),
                        core=True,
                    )
                )
            same = (rows == rows[:, :1]).all(axis=(1, 2)) & (rows[:, 0, 0] == _OTHER_SIZE)
            for k in np.flatnonzero(same).tolist():
                others[part[k]] = (int(rows[k, 0, 1]), int(rows[k, 0, 2]))
        return others

    def _call(self, kind: int, paths: list[str], pixels: NDArray[Any]) -> NDArray[np.int32]:
        """Status, height, width and grid of each tile, as `struct Tile` of ext/tiles.cpp."""
        tiles = np.full((len(paths), _FIELDS), _NOT_READ, np.int32)
        try:
            names = "\0".join([*paths, ""]).encode()
        except UnicodeEncodeError:
            return tiles
        if names.count(0) == len(paths):
            height, width = pixels.shape[2:]
            n, threads = len(paths), self._threads
            self._core.kit_read_plain(
                names, n, kind, height, width, threads, pixels.ctypes.data, tiles.ctypes.data
            )
        return tiles

    def _view(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """The buffer as an array."""
        length = int(np.prod(shape)) * dtype.itemsize
        if length > self._buffer.nbytes:
            self._buffer = np.empty(length, np.uint8)
        return self._buffer[:length].view(dtype).reshape(shape)


@overload
def read_scene(sensor: Literal["Sentinel1"], files: Sequence[File]) -> NDArray[np.float32]: ...
@overload
def read_scene(sensor: Literal["Sentinel2"], files: Sequence[File]) -> NDArray[np.uint16]: ...
@overload
def read_scene(sensor: str, files: Sequence[File]) -> NDArray[Any]: ...
def read_scene(sensor: str, files: Sequence[File]) -> NDArray[Any]:
    """Read the bands of one scene by whatever reads them fastest, as `read_bands` does.

    Args:
        sensor: "Sentinel1" or "Sentinel2".
        files: its bands, in the order wanted.

    Returns:
        [bands, H, W]: float32 dB for Sentinel1, uint16 DN for Sentinel2.

    Raises:
        InputError: a band cannot be read, or has another pixel type or size than it should.
    """
    return read_scene_and_type(sensor, files)[0]


def read_scene_and_type(sensor: str, files: Sequence[File]) -> tuple[NDArray[Any], bool]:
    """What `read_scene` gives, and whether a file holds it in floats of 16 bits."""
    batches, errors = Reader(1).read(sensor, [files])
    if errors:
        raise errors[0]
    return batches[0].pixels[0], batches[0].float16[0]


@cache
def backend() -> tuple[str, str]:
    """Name of the backend that a `Reader` uses by default, and why; settled by the first call.

    Raises:
        InputError: `KIT_TILES` names a backend that is unknown or missing.
    """
    return pick_backend(VARIABLE, _pick, "rasterio")


def _pick(name: str | None) -> Any:
    """The compiled core, or None for rasterio."""
    name = name or backend()[0]
    if name == "rasterio":
        return None
    if name != "native":
        raise InputError("tile backend", f"is {name!r}", remedy="choose native or rasterio")
    core, why = load("kit_core")
    if core is None:
        raise InputError("tile backend native", why, remedy=REMEDIES["kit_core"])
    return core


def _attempt(colors: int, sensor: str, files: Sequence[File]) -> _Read | InputError:
    """What `read_bands_and_type` gives, or its error."""
    try:
        return read_bands_and_type(sensor, files, colors)
    except InputError as error:
        return error


def _batches(scenes: dict[int, _Read]) -> list[Batch]:
    """The scenes by size; they are removed from it, so that none is held twice for long."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, (pixels, _) in scenes.items():
        groups.setdefault(pixels.shape, []).append(i)
    batches = []
    for group in groups.values():
        for part in _slices(group, scenes[group[0]][0].nbytes):
            float16 = tuple(scenes[i][1] for i in part)
            pixels = np.stack([scenes.pop(i)[0] for i in part])
            batches.append(Batch(tuple(part), pixels, (True,) * len(part), float16))
    return batches


def _slices(group: Sequence[int], scene_bytes: int) -> Iterator[Sequence[int]]:
    """The group in parts that a batch can hold."""
    step = max(1, _LARGEST_BATCH // scene_bytes)
    return (group[i : i + step] for i in range(0, len(group), step))
