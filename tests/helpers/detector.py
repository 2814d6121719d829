"""A detector that sees clouds where a test has put them, in no time, and remembers its scenes."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.screening import ukis
from kit.tiles.names import SceneKey, TileName
from kit.tiles.tiff import write_tile
from tests.helpers.tiles import read_tile

CLOUD, SHADOW = 1234, 1235  # DN of green: unlike what the cloud rule calls cloud


@dataclass(slots=True)
class Fake:
    """Stands in for ukis-csmask; `shapes` are those of all scenes that it was shown."""

    version: str = "fake 1"
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    stop_after: int | None = None

    def classes(self, pixels: NDArray[np.uint16], threads: int) -> NDArray[np.uint8]:
        """Cloud and shadow by the value of green."""
        assert threads >= 1
        if self.stop_after is not None and len(self.shapes) >= self.stop_after:
            raise KeyboardInterrupt
        self.shapes += [scene.shape for scene in pixels]
        green = pixels[:, 1]
        found = np.where(green == CLOUD, ukis.CLOUD, ukis.CLEAR)
        return np.where(green == SHADOW, ukis.SHADOW, found).astype(np.uint8)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The detector of the kit, replaced."""
    made = Fake()
    monkeypatch.setattr(ukis, "version", lambda: made.version)
    monkeypatch.setattr(ukis, "classes", made.classes)
    return made


def mark(data: Path, scene: SceneKey, *, cloud: int = 0, shadow: int = 0) -> None:
    """Have the detector see so many pixels of cloud and shadow in a scene."""
    name = TileName("Sentinel2", "B3", scene)
    pixels = read_tile(data / "sent2" / str(name)).copy()
    pixels.flat[:cloud] = CLOUD
    pixels.flat[cloud : cloud + shadow] = SHADOW
    write_tile(data / "sent2", name, pixels)


def add_band(data: Path, scene: SceneKey, band: str, pixels: NDArray[np.generic]) -> Path:
    """Write the tile of another band of a scene."""
    write_tile(data / "sent2", name := TileName("Sentinel2", band, scene), pixels)
    return data / "sent2" / str(name)
