"""A made landscape after the Amazon's: what covers the ground, and how it looks to each satellite.

In: a seed, a window of global pixels (10 m each), a day. Out: for that window, the class of cover,
the reflectance of B4, B3, B2 as DN, and the backscatter of VV, VH as power. Every value is a
function of the seed, the global pixel and the day alone, so windows that overlap agree where they
do. Clouds and speckle are not here: they belong to a scene, not to the ground. Ground changes
slowly, with the seasons and the frontier; in a changing world crops come and go too, rivers rise
and fall, and the frontier moves fast. Refused: nothing.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import NamedTuple

import numpy as np

from kit.simulation.noise import Field, Integers, noise, uniform

Draw = Callable[..., Field]


class Cover(IntEnum):
    """What a pixel is covered with, mostly."""

    FOREST = 0
    REGROWTH = 1
    PASTURE = 2
    SOIL = 3
    WATER = 4
    ROAD = 5
    ROOF = 6


class Look(NamedTuple):
    """A cover at its poorest and at its richest: DN of B4, B3, B2, and dB of VV, VH; and its grain.

    Poor to rich is thin to dense canopy, young to old regrowth, parched to lush pasture, dry to
    moist soil. Both sensors follow the same scale, which is what lets radar tell the colour.
    `grain` is the standard deviation of the logarithm of the reflectance from pixel to pixel.
    """

    poor_dn: tuple[int, int, int]
    rich_dn: tuple[int, int, int]
    poor_db: tuple[float, float]
    rich_db: tuple[float, float]
    grain: float


# Colours, and the forest's backscatter, as in the official sample tiles; the other backscatter as
# is usual at C band. Roofs are yellowish enough never to pass for cloud.
LOOKS = {
    Cover.FOREST: Look((240, 460, 250), (150, 320, 172), (-8.5, -15.1), (-6.2, -12.5), 0.19),
    Cover.REGROWTH: Look((330, 670, 300), (205, 430, 220), (-9.8, -16.8), (-7.8, -14.3), 0.13),
    Cover.PASTURE: Look((880, 900, 590), (370, 740, 340), (-12.3, -20.6), (-9.6, -17.0), 0.10),
    Cover.SOIL: Look((1120, 900, 650), (700, 560, 410), (-14.0, -22.8), (-10.0, -18.8), 0.13),
    Cover.WATER: Look((640, 660, 365), (560, 600, 330), (-19.5, -27.0), (-18.5, -26.0), 0.04),
    Cover.ROAD: Look((1600, 1290, 900), (1300, 1040, 730), (-14.0, -22.0), (-12.5, -20.5), 0.10),
    Cover.ROOF: Look((2350, 2080, 1760), (2100, 1850, 1560), (2.0, -5.0), (0.0, -7.0), 0.05),
}

EPOCH = datetime.date(2019, 5, 27).toordinal()  # the first radar date of the official sample
_WETTEST = datetime.date(2019, 3, 15).toordinal()
_NEVER = 1e7  # days, or more
_FRONTIER_DAYS = 4500  # over which the frontier passes through a region
_FASTER = 4  # times as fast the frontier moves in a changing world
_SOIL_DAYS = 240  # from felling or ploughing to grass
_PASTURE_DAYS = 3500  # from one ploughing to the next
_CROP_DAYS = 365.25 / 2  # from one sowing to the next
_SOWING_DAYS = 80  # from the first lot that is sown to the last
_CROP_SHARE = 0.5  # of the pastures, in a changing world
_FLOOD = 6  # pixels, about, that rivers are wider on either side in the wettest month
_TURN = 0.38  # radians from east to a spine: no edge follows the rows
_SPINES = 700  # pixels between spines
_ROADS = 190  # pixels between side roads
_PLOTS = 110  # pixels between small plots in the forest, where there is one
_YARDS = 13  # pixels between houses, where there is one

_POOR_DN, _RICH_DN = (np.array([look[i] for look in LOOKS.values()], float).T for i in (0, 1))
_POOR_DB, _RICH_DB = (np.array([look[i] for look in LOOKS.values()], float).T for i in (2, 3))
_GRAIN = np.array([look.grain for look in LOOKS.values()])


@dataclass(frozen=True, slots=True)
class Land:
    """What does not change in a window: its seed, its first pixel, and fields [H, W].

    `cut` and `fallow` are the days on which forest falls and on which pasture is left to itself.
    `kept`, `crown` and `moist` vary about 0: how well people, canopy and soil do. `grain` is fine
    texture. `shade` and `tilt` are the slope as the sun and the radar see it. `shore` is how many
    pixels the water of a river would have to fall to bare the pixel, `plain` how far a flood goes
    there, relative to others; `road` and `roof` are shares of the pixel. `sown` is the day in a
    cycle of crops on which a field is sown, NaN where none is. `changing`: see the module.
    """

    seed: int
    top: int
    left: int
    cut: Field
    fallow: Field
    kept: Field
    crown: Field
    moist: Field
    grain: Field
    shade: Field
    tilt: Field
    shore: Field
    plain: Field
    road: Field
    roof: Field
    sown: Field
    changing: bool


def survey(seed: int, top: int, left: int, size: int, changing: bool = False) -> Land:
    """The land of `size` x `size` pixels from (top, left) to the south and to the east."""
    lattice = partial(noise, seed, *_window(top, left, size))
    river = _distance_to_river(seed, top, left, size)
    shore = 3 + 1.2 * lattice("banks", 60) - river
    grove = lattice("grove", 40)
    stream = np.abs(lattice("stream", 120) + 0.25 * lattice("stream", 30))
    wooded = (river < 9 + 6 * grove) | (stream < 0.04 + 0.05 * grove)
    wooded |= lattice("tree", 2.2) + 0.6 * grove > 2.6
    south, east = _slopes(seed, top, left, size)
    people = _settle(seed, top, left, size)
    late = people.cut > EPOCH
    sooner = EPOCH + (people.cut - EPOCH) / _FASTER
    cut = np.where(late, sooner, people.cut) if changing else people.cut
    return Land(
        seed=seed,
        top=top,
        left=left,
        cut=np.where(wooded, _NEVER, cut),
        fallow=people.fallow,
        kept=people.kept,
        crown=0.7 * lattice("crown", 9) + 0.7 * lattice("crown", 35),
        moist=0.8 * lattice("moist", 45) + 0.6 * lattice("moist", 12),
        grain=0.9 * lattice("grain", 1.3) + 0.4 * lattice("grain", 6),
        shade=np.clip(0.06 * (south - east), -0.15, 0.15),
        tilt=np.clip(east, -3, 3),
        shore=shore,
        plain=np.clip(1 + 0.5 * lattice("plain", 80), 0, 2),
        road=people.road,
        roof=people.roof * (shore <= 0),
        sown=people.sown,
        changing=changing,
    )


def cover(land: Land, day: int) -> Integers:
    """The class [H, W] of each pixel, a `Cover`, on a day counted as `date.toordinal` does."""
    result = _vegetation(land, day)
    for kind, share in _overlays(land, day):
        result[share > 0.5] = kind
    return result


def reflectance(land: Land, day: int) -> Field:
    """The surface reflectance of B4, B3, B2 as DN [3, H, W], under a clear sky."""
    kind, rich = _vegetation(land, day), _richness(land, day)
    ground = _POOR_DN[:, kind] + (_RICH_DN - _POOR_DN)[:, kind] * rich
    ground = _cover_up(land, day, ground, _POOR_DN, _RICH_DN)
    # The canopy glitters differently each day, so two clear images of a place are never the same.
    glitter = noise(land.seed, *_window(land.top, land.left, len(kind)), f"glitter {day}", 1.3)
    air = 0.06 * (uniform(land.seed, "air", np.array(day)) - 0.5)
    band = np.array([1.1, 1.0, 0.85])[:, None, None]
    grain = band * _GRAIN[cover(land, day)] * (0.8 * land.grain + 0.6 * glitter)
    gain: Field = (1 + land.shade) * np.exp(air + grain)
    return ground * gain


def backscatter(land: Land, day: int) -> Field:
    """The backscatter sigma nought of VV, VH as power [2, H, W], without speckle."""
    kind, rich = _vegetation(land, day), _richness(land, day)
    db = _POOR_DB[:, kind] + (_RICH_DB - _POOR_DB)[:, kind] * rich
    # What is rough is bright to the radar and, by its shadows, dark to the eye. The radar looks to
    # the east, up the slopes that rise there; the morning sun lights the others.
    db += 1.4 * land.tilt - 2 * _GRAIN[kind] * land.grain
    return _cover_up(land, day, _power(db), _power(_POOR_DB), _power(_RICH_DB))


class _People(NamedTuple):
    """What people did to a window: see `Land`."""

    cut: Field
    fallow: Field
    kept: Field
    road: Field
    roof: Field
    sown: Field


def _settle(seed: int, top: int, left: int, size: int) -> _People:
    """Roads, lots, plots and roofs: a fishbone of side roads on spines, with straight-edged lots.

    In a frame that is turned and slightly bent, `along` runs with the spines and `across` with the
    side roads. A lot is named by its spine, its side road, the sides of both on which it lies, its
    number from the spine and its part; each of its traits follows from that name.
    """
    rows, columns = _window(top, left, size)
    lattice, draw = partial(noise, seed, rows, columns), partial(uniform, seed)
    y, x = rows[:, None], columns
    along = np.cos(_TURN) * x + np.sin(_TURN) * y + 13 * lattice("bend along", 200)
    across = np.cos(_TURN) * y - np.sin(_TURN) * x + 13 * lattice("bend across", 200)

    spine, road = np.round(across / _SPINES), np.floor(along / _ROADS)
    from_spine = across - _SPINES * spine
    from_road = along - _ROADS * (road + 0.3 + 0.4 * draw("road", spine, road))
    sides = from_spine > 0, from_road > 0
    wiggle = 1.6 * lattice("wiggle", 22)
    from_spine, from_road = np.abs(from_spine + wiggle), np.abs(from_road + wiggle)
    end = 80 + 270 * draw("end", spine, road, sides[0])

    number = np.floor(from_spine / (38 + 55 * draw("front", spine, road, *sides)))
    depth = 35 + 70 * draw("depth", spine, road, *sides, number)
    part = from_road > depth * (0.3 + 0.5 * draw("fence", spine, road, *sides, number))
    lot = (spine, road, *sides, number, part)
    # Lots near a spine fall first; regions that the frontier reaches late are still forest.
    late = draw("region", spine, np.floor(road / 2))
    felled = late + 0.1 * number + 0.45 * draw("felled", *lot) - 1
    lots = np.where((from_road < depth) & (from_spine < end), felled, _NEVER)
    plots = _plots(draw, along, across, 3 * lattice("rim", 8))
    cut = EPOCH + _FRONTIER_DAYS * np.minimum(lots, plots)
    lane = np.where((from_spine < end) & (late < 0.8), np.clip(1.3 - from_road, 0, 1), 0)
    worn = np.clip(0.8 + 0.15 * lattice("worn", 4), 0, 1)
    return _People(
        cut=cut,
        fallow=cut + np.where(plots < lots, 700, 800 + 8000 * draw("fallow", *lot)),
        kept=draw("kept", *lot) - 0.5,
        road=worn * np.maximum(np.clip(1.6 - from_spine, 0, 1), lane),
        roof=_roofs(draw, along, across, np.minimum(from_spine, from_road)) * (cut < EPOCH),
        sown=np.where(
            (lots < plots) & (draw("crop", *lot) < _CROP_SHARE),
            _SOWING_DAYS * draw("sown", *lot),
            np.nan,
        ),
    )


def _plots(draw: Draw, along: Field, across: Field, rim: Field) -> Field:
    """When, as shares of `_FRONTIER_DAYS` after the epoch, small plots in the forest fall."""
    i, j = np.floor(along / _PLOTS), np.floor(across / _PLOTS)
    x = along - _PLOTS * (i + 0.3 + 0.4 * draw("plot along", i, j))
    y = across - _PLOTS * (j + 0.3 + 0.4 * draw("plot across", i, j))
    inside = np.hypot(x, y) + rim < 5 + 14 * draw("plot size", i, j)
    return np.where(inside & (draw("plot", i, j) < 0.3), draw("plot felled", i, j) - 0.8, _NEVER)


def _roofs(draw: Draw, along: Field, across: Field, from_road: Field) -> Field:
    """1 on the roofs of the houses beside a road, 0 elsewhere."""
    i, j = np.floor(along / _YARDS), np.floor(across / _YARDS)
    x, y = np.abs(along - _YARDS * (i + 0.5)), np.abs(across - _YARDS * (j + 0.5))
    inside = (x < 0.6 + 1.2 * draw("length", i, j)) & (y < 0.6 + 0.7 * draw("breadth", i, j))
    here = (from_road > 3) & (from_road < 13) & (draw("house", i, j) < 0.1)
    return (inside & here).astype(np.float64)


def _vegetation(land: Land, day: int) -> Integers:
    """The class of what grows, or does not, beneath water, roads and roofs."""
    age = day - land.cut
    bare = age % _PASTURE_DAYS < _SOIL_DAYS
    if land.changing:
        bare = np.where(np.isnan(land.sown), bare, _canopy(land, day) == 0)
    used = np.where(bare, Cover.SOIL, Cover.PASTURE)
    used = np.where(day > land.fallow, Cover.REGROWTH, used)
    return np.where(age < 0, Cover.FOREST, used)


def _richness(land: Land, day: int) -> Field:
    """Where each pixel is between its cover's poor and rich looks, 0 to 1; see `Look`."""
    rain = _rain(day)
    forest = 0.5 + (0.15 if land.changing else 0.05) * rain + 0.22 * land.crown
    regrowth = np.clip((day - land.fallow) / 4000, 0, 1) + 0.15 * land.crown
    pasture = 0.55 + 0.25 * rain + 0.6 * land.kept + 0.18 * land.moist
    if land.changing:
        crop = _canopy(land, day) + 0.18 * land.moist
        pasture = np.where(np.isnan(land.sown), pasture, crop)
    soil = 0.45 + 0.3 * rain + 0.22 * land.moist
    rich: Field = np.choose(_vegetation(land, day), [forest, regrowth, pasture, soil]).clip(0, 1)
    return rich


def _rain(day: float) -> float:
    """The season: 1 on the wettest day of a year, -1 half a year later."""
    return float(np.cos(2 * np.pi * (day - _WETTEST) / 365.25))


def _canopy(land: Land, day: int) -> Field:
    """How green a crop is, 0 while the field is bare: it sprouts, stands, ripens, is harvested."""
    age = (day - _WETTEST - land.sown) % _CROP_DAYS
    return np.interp(age, (35, 80, 125, 160, 161), (0, 1, 1, 0.2, 0))


def _water(land: Land, day: int) -> Field:
    """The share of water in each pixel; a river is highest a month after the wettest day."""
    rise = _FLOOD * (1 + _rain(day - 30)) / 2 * land.plain if land.changing else 0
    water: Field = np.clip(land.shore + rise, 0, 1)
    return water


def _overlays(land: Land, day: int) -> tuple[tuple[Cover, Field], ...]:
    return (Cover.WATER, _water(land, day)), (Cover.ROAD, land.road), (Cover.ROOF, land.roof)


def _cover_up(land: Land, day: int, ground: Field, poor: Field, rich: Field) -> Field:
    """Blend water, roads and roofs, between their two looks, into `ground` [bands, H, W]."""
    for kind, share in _overlays(land, day):
        middle = (poor[:, kind] + rich[:, kind])[:, None, None] / 2
        ground = ground + share * (middle - ground)
    return ground


def _distance_to_river(seed: int, top: int, left: int, size: int) -> Field:
    """Pixels, about, to the nearest river; rivers are contours of a plane that noise has bent."""
    rows, columns = _window(top - 1, left - 1, size + 2)
    lattice = partial(noise, seed, rows, columns)
    flow = (0.9 * rows[:, None] - 0.45 * columns) / 1100
    flow = flow + 0.17 * lattice("meander", 190) + 0.03 * lattice("meander", 60)
    south, east = _gradient(flow)
    off = (flow - np.round(flow))[1:-1, 1:-1]
    distance: Field = np.abs(off) / np.maximum(np.hypot(south, east), 1e-4)
    return distance


def _slopes(seed: int, top: int, left: int, size: int) -> tuple[Field, Field]:
    """How the hills rise to the south and to the east, with a standard deviation of about 1."""
    lattice = partial(noise, seed, *_window(top - 1, left - 1, size + 2))
    hills = lattice("hill", 250) + 0.5 * lattice("hill", 90) + 0.2 * lattice("hill", 36)
    return _gradient(hills / 0.0165)


def _gradient(field: Field) -> tuple[Field, Field]:
    """The rise per pixel to the south and to the east, without the outermost pixels."""
    south = (field[2:, 1:-1] - field[:-2, 1:-1]) / 2
    east = (field[1:-1, 2:] - field[1:-1, :-2]) / 2
    return south, east


def _window(top: int, left: int, size: int) -> tuple[Integers, Integers]:
    return top + np.arange(size), left + np.arange(size)


def _power(db: Field) -> Field:
    power: Field = 10 ** (db / 10)
    return power
