"""Clouds painted on made scenes, and the table that screening makes of them."""

from pathlib import Path

from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from kit.screening.table import SCENES
from kit.tiles.names import RGB_BANDS, SceneKey, TileName
from kit.tiles.tiff import write_tile
from tests.helpers.tiles import read_tile


def paint_square(data: Path, scene: SceneKey, y: int, x: int, size: int, dn: int) -> None:
    """A grey square, of v - s = dn / scale."""
    for band in RGB_BANDS:
        name = TileName("Sentinel2", band, scene)
        pixels = read_tile(data / "sent2" / str(name)).copy()
        pixels[y : y + size, x : x + size] = dn
        write_tile(data / "sent2", name, pixels)


def table_of(data: Path, rule: CloudRule | None = None) -> Path:
    work = data.parent / f"{data.name}-work"
    screen(data, work, rule=rule or CloudRule())
    return work / SCENES
