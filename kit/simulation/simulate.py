"""A simulated world in the official layout, for the demo, the tests and the benchmarks.

In: a new folder, how many places and dates, a tile's size, a seed. Out: OUT/train with both
sensors, OUT/test with the radar of other places, or of the same at other dates, OUT/truth with
their clear optical scenes, all as official tiles. Training scenes have the defects of real ones:
clouds that QA60 misses, haze, nodata, lost bands. A scene's bytes depend on the seed, its place,
its date, the tile's size and whether the world is a changing one, alone. Until all are there the
folder is marked as unfinished, and the same command goes on. Refused: a folder with something else
in it, numbers that the region cannot hold.
"""

import datetime
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.progress import Advance
from kit.simulation.landcover import EPOCH, Land, backscatter, reflectance, survey
from kit.simulation.noise import Field
from kit.simulation.progress import Progress, refuse_used
from kit.simulation.weather import cirrus, cumulus, haze, speckle
from kit.storage.files import AnyPath
from kit.storage.lock import lock
from kit.tiles.names import BANDS, SceneKey, TileName
from kit.tiles.tiff import write_tile

# The challenge's region in Para, Brazil, as a grid of 0.02 degrees: row 0 is the northernmost.
_WEST, _NORTH = -5520, -333  # hundredths of a degree
_COLUMNS = range(37)
_TRAIN_ROWS = range(40)
_TEST_ROWS = range(45, 54)  # five rows apart: no test tile shows ground of a training tile
_BLOCK = 5  # rows and columns of a block of 0.1 degree, the unit in which hold-outs are chosen

# Sentinel-1 comes back after 12 days, Sentinel-2 after 5; where orbits overlap, 3 days later too.
_S1_DAYS, _S2_DAYS, _S2_OVERLAP = 12, 5, 3
_S2_CLOSE, _S2_REACH, _TRUTH_REACH = 6, 20, 3  # days from the radar date, at most
_EXTRA_SHARE = 0.45  # of radar scenes with a second optical one
_TRUTH_SHARES = (0.75, 0.15, 0.1)  # of radar scenes with one, two and three truths
_BETWEEN = 48  # days from the radar scenes of training to those to predict at the same places

_LOST_SHARE, _NODATA_SHARE, _MARKED_SHARE = 0.025, 0.04, 0.45
_WEATHER_SHARES = (0.5, 0.3, 0.1, 0.1)  # clear, cumulus, haze, cirrus
_QA60_PIXELS = 6  # QA60 is made at 60 m

Place = tuple[int, int]  # row and column in the grid
Pixels = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class World:
    """What was written: the folders, and how many scenes of each sensor and tiles are in them."""

    train: Path
    test: Path
    truth: Path
    s1_scenes: int
    s2_scenes: int
    tiles: int


def simulate(
    out: AnyPath,
    *,
    places: int = 24,
    test_places: int = 6,
    seen_test_places: int = 0,
    dates: int = 4,
    changing: bool = False,
    size: int = 256,
    seed: int = 0,
    advance: Advance | None = None,
) -> World:
    """Write a world of official tiles into the folder `out`.

    Args:
        out: a folder that is empty or not there yet, or that the same call has not finished.
        places: how many to train on, in groups of four neighbours 0.1 degree apart.
        test_places: how many to predict, apart from those.
        seen_test_places: how many of those to train on are to predict too, at dates in between.
        dates: radar scenes of each place; about a third more optical ones for training.
        changing: let crops come and go, rivers rise and fall, and forest fall faster, so that
            another date of a place tells much of it, but not all.
        size: pixels along a tile's side.
        seed: the same seed makes the same bytes.
        advance: called with the places done and their number.

    Raises:
        BusyError: `out` holds something else already, or another process writes into it.
        InputError: a number is out of its range.
        OutputError: a tile cannot be written; the same call goes on.
    """
    out = Path(out)
    _check("places", places, 1, len(_TRAIN_ROWS) * len(_COLUMNS))
    _check("test_places", test_places, 0, len(_TEST_ROWS) * len(_COLUMNS))
    _check("seen_test_places", seen_test_places, 0, places)
    _check("dates", dates, 1, 1000)
    _check("size", size, 32, 4096)
    _check("seed", seed, 0, 2**63 - 1)
    refuse_used(out)
    numbers = {
        "places": places,
        "test_places": test_places,
        "dates": dates,
        "size": size,
        "seed": seed,
    }
    # Worlds that earlier kits began lack these.
    numbers |= {"seen_test_places": seen_test_places} if seen_test_places else {}
    numbers |= {"changing": changing} if changing else {}
    train, test, truth = (out / name for name in ("train", "test", "truth"))
    known = _places(_TRAIN_ROWS)[:places]
    make_train, make_test = partial(_train_place, train), partial(_test_place, test, truth)
    work = [(partial(make_train, _radar_days(dates)), place) for place in known]
    work += [(partial(make_test, _radar_days(dates)), p) for p in _places(_TEST_ROWS)[:test_places]]
    work += [
        (partial(make_test, _radar_days(dates, _BETWEEN)), place)
        for place in _spread(known)[:seen_test_places]
    ]
    with lock(out):
        progress = Progress(out, numbers, len(work))
        for make, place in work[progress.done :]:
            land = _land(seed, place, size, changing)
            progress.add(make(place, land))
            if advance:
                advance(progress.done, len(work))
        progress.finish()
    return World(train, test, truth, *progress.counts)


def _check(where: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InputError(where, f"is {value}", remedy=f"it must be {least} to {most}")


def _places(rows: range) -> list[Place]:
    """The places of some rows of the grid, in the order in which worlds use them.

    First the four neighbours in the corner of each block, so that a small world has blocks to hold
    out and neighbours that overlap; then the others. Taking more never moves the earlier ones.
    """

    def order(place: Place) -> tuple[float, ...]:
        down, right = place[0] - rows.start, place[1]
        block = down // _BLOCK * len(_COLUMNS) + right // _BLOCK
        # Multiples of the golden ratio take blocks from all over the region.
        spread = block * 0.618034 % 1
        return max(down % _BLOCK, right % _BLOCK) // 2, spread, *place

    return sorted(((row, column) for row in rows for column in _COLUMNS), key=order)


def _spread(places: list[Place]) -> list[Place]:
    """The same places, the first of each four neighbours first."""
    return [place for first in range(4) for place in places[first::4]]


def _land(seed: int, place: Place, size: int, changing: bool) -> Land:
    step = round(size * 223 / 256)  # neighbouring tiles of 256 pixels start 223 pixels apart
    return survey(seed, step * place[0], step * place[1], size, changing)


def _scene(place: Place, day: int) -> SceneKey:
    row, column = place
    lon, lat = (_WEST + 2 * column) / 100, (_NORTH - 2 * row) / 100
    return SceneKey(f"{lon:.2f}", f"{lat:.2f}", datetime.date.fromordinal(day))


def _random(land: Land, day: int, purpose: str) -> np.random.Generator:
    """The generator of one scene, or of one choice about it, that no other shares."""
    return np.random.default_rng([land.seed, land.top, land.left, day, *purpose.encode()])


def _radar_days(dates: int, after: int = 0) -> list[int]:
    """Two passes in a row, then a pause of twelve weeks: revisits and seasons in a few dates."""
    return [EPOCH + after + _S1_DAYS * (n + 6 * (n // 2)) for n in range(dates)]


def _optical_days(land: Land, near: int) -> set[int]:
    """The days of the optical scenes that come with a radar scene: one near, perhaps another."""
    random = _random(land, near, "optical days")
    days = {int(random.choice(_passes(near, _S2_CLOSE, 0)))}
    if random.random() < _EXTRA_SHARE:
        days.add(int(random.choice(_passes(near, _S2_REACH, 0))))
    return days


def _truth_days(land: Land, near: int) -> set[int]:
    """The days of the truths of a radar scene."""
    random = _random(land, near, "truth days")
    number = random.choice([1, 2, 3], p=_TRUTH_SHARES)
    return set(random.permutation(_passes(near, _TRUTH_REACH, 0, _S2_OVERLAP))[:number].tolist())


def _passes(near: int, reach: int, *orbits: int) -> list[int]:
    """The days, at most `reach` from `near`, of Sentinel-2 in orbits named by their first day."""
    days = range(near - reach, near + reach + 1)
    return [day for day in days if (day - EPOCH) % _S2_DAYS in orbits]


def _train_place(
    folder: Path, radar_days: list[int], place: Place, land: Land
) -> tuple[int, int, int]:
    """Write the scenes of a training place; return how many of S1 and S2, and how many tiles."""
    optical_days = sorted({day for near in radar_days for day in _optical_days(land, near)})
    tiles = 0
    for day in radar_days:
        random = _random(land, day, "radar")
        radar = _radar(land, day, random)
        radar[:, _outside_swath(random, radar.shape[1])] = np.nan
        tiles += _write(folder / "sent1", "Sentinel1", _scene(place, day), radar, _lost(random, 2))
    for day in optical_days:
        random = _random(land, day, "optical")
        optical = _through_weather(random, reflectance(land, day))
        optical[:, _outside_swath(random, optical.shape[1])] = 0
        tiles += _write(
            folder / "sent2", "Sentinel2", _scene(place, day), optical, _lost(random, 4)
        )
    return len(radar_days), len(optical_days), tiles


def _test_place(
    test: Path, truth: Path, radar_days: list[int], place: Place, land: Land
) -> tuple[int, int, int]:
    """Write the radar scenes of a test place and their truths; return the numbers as above."""
    truth_days = sorted({day for near in radar_days for day in _truth_days(land, near)})
    tiles = 0
    for day in radar_days:
        radar = _radar(land, day, _random(land, day, "radar"))
        tiles += _write(test / "sent1", "Sentinel1", _scene(place, day), radar)
    for day in truth_days:
        optical = _digital(reflectance(land, day))
        tiles += _write(truth / "sent2", "Sentinel2", _scene(place, day), optical)
    return len(radar_days), len(truth_days), tiles


def _write(
    folder: Path, sensor: str, scene: SceneKey, pixels: NDArray[np.generic], lost: int | None = None
) -> int:
    """Write the bands [bands, H, W] of a scene, but for that of index `lost`; return how many."""
    kept = [index for index in range(len(pixels)) if index != lost]
    for index in kept:
        write_tile(folder, TileName(sensor, BANDS[sensor][index], scene), pixels[index])
    return len(kept)


def _lost(random: np.random.Generator, bands: int) -> int | None:
    """The index of a band whose file is missing, seldom."""
    return int(random.integers(bands)) if random.random() < _LOST_SHARE else None


def _outside_swath(random: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Where [size, size] a straight edge cuts a scene off; seldom anywhere."""
    angle, inside = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.45)
    y, x = np.indices((size, size)) / size - 0.5
    outside: NDArray[np.bool_] = np.cos(angle) * x + np.sin(angle) * y > inside
    return outside & (random.random() < _NODATA_SHARE)


def _radar(land: Land, day: int, random: np.random.Generator) -> NDArray[np.float32]:
    """VV and VH in dB [2, H, W], with speckle."""
    power = backscatter(land, day)
    # At a ten-thousandth of a dB, what another processor rounds differently does not show.
    return np.round(10 * np.log10(power * speckle(random, power.shape[1])), 4).astype(np.float32)


def _digital(dn: Field, qa60: Pixels | None = None) -> Pixels:
    """DN [3, H, W], never 0, and QA60 [H, W] or no mark at all, as the tiles hold them."""
    marks = np.zeros(dn.shape[1:], np.uint16) if qa60 is None else qa60
    rgb = np.rint(dn).clip(1, np.iinfo(np.uint16).max).astype(np.uint16)
    return np.concatenate([rgb, marks[None]])


def _through_weather(random: np.random.Generator, dn: Field) -> Pixels:
    """The ground [3, H, W] as it is seen on some day: clear on half of them; B4, B3, B2, QA60."""
    weather = random.choice(4, p=_WEATHER_SHARES)
    if weather == 0:
        return _digital(dn)
    seen, marks = (cumulus, haze, cirrus)[weather - 1](random, dn)
    # QA60 is blocky, and most of the time it has missed the cloud.
    marks = marks[::_QA60_PIXELS, ::_QA60_PIXELS].repeat(_QA60_PIXELS, 0).repeat(_QA60_PIXELS, 1)
    marks = marks[: dn.shape[1], : dn.shape[2]] * (random.random() < _MARKED_SHARE)
    return _digital(seen, marks.astype(np.uint16))
