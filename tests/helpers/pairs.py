"""Pairs of screened scenes, made without a tile."""

from dataclasses import replace
from pathlib import Path

from kit.pairs.pairing import pair
from kit.pairs.table import Pair
from kit.screening.table import Screened
from kit.tiles.names import SceneKey
from kit.tiles.scenes import Scene
from tests.helpers.tiles import key


def s1(scene: SceneKey, *, nodata: float = 0.0, size: int = 256) -> Screened:
    paths = (Path(f"VV_{scene}"), Path(f"VH_{scene}"))
    return Screened(Scene("Sentinel1", scene, paths), size, size, nodata, 0.0, 0.0)


def s2(
    scene: SceneKey, *, nodata: float = 0.0, qa60: float = 0.0, cloud: float = 0.0, size: int = 256
) -> Screened:
    paths = tuple(Path(f"{band}_{scene}") for band in ("B4", "B3", "B2", "QA60"))
    return Screened(Scene("Sentinel2", scene, paths), size, size, nodata, qa60, cloud)


def made(rows: list[Screened], window_days: int = 7, max_cloud: float = 0.0) -> tuple[Pair, ...]:
    return pair(rows, window_days=window_days, max_cloud=max_cloud)[0]


def grid(places: int, dates: int = 4) -> tuple[Pair, ...]:
    keys = [key(place, 12 * date) for place in range(places) for date in range(dates)]
    return made([s1(scene) for scene in keys] + [s2(scene) for scene in keys])


def spread(places: int, dates: int = 1) -> tuple[Pair, ...]:
    """Pairs of places a degree apart, which overlap no other."""
    found = grid(places, dates)
    number = {place: n for n, place in enumerate(sorted({pair.place for pair in found}))}

    def moved(pair: Pair) -> Pair:
        lon, lat = f"{number[pair.place] % 10 - 60:.2f}", f"{number[pair.place] // 10:.2f}"
        scenes = {"radar": pair.radar, "optical": pair.optical}
        placed = {name: replace(scene, lon=lon, lat=lat) for name, scene in scenes.items()}
        return replace(pair, **placed)

    return tuple(map(moved, found))
