"""Predictions of a tiny run on a few made scenes, and what they leave behind, compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kit.prediction.writer
from kit.engines.request import Request
from kit.prediction.predict import Prediction, predict
from kit.tiles.names import TileName
from kit.tiles.tiff import write_tile
from tests.helpers.tiles import key, radar

SCENES, ODD = 32, 6
EAGER = Request("eager", "float32")


def predict_eager(
    folder: str = "predictions", ensemble: str = "p2phd1", data: str = "many", **settings: Any
) -> Prediction:
    return predict(
        ensemble,
        Path(data),
        runs=Path("runs"),
        predictions=Path(folder),
        request=EAGER,
        **settings,
    )


def write_scenes(data: Path, scenes: int = SCENES, odd: int = ODD) -> None:
    """Scenes of three sizes, some with nodata, and one that cannot be read."""
    for place in range(scenes):
        radar(data, key(place), size=32)
    for place in range(odd):
        radar(data, key(scenes + place), size=(24, 40)[place % 2])
    for place in range(0, scenes, 5):
        sar = np.full((32, 32), -9, np.float32)
        sar[: 1 + place] = np.nan
        sar[-1, -1] = -8
        write_tile(data / "sent1", TileName("Sentinel1", "VH", key(place)), sar)
    radar(data, key(90))
    (data / "sent1" / f"Sentinel1_VV_{key(90)}.tiff").write_bytes(b"II*\0")


def pictures(folder: str, member: str = "p2phd1") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (Path(folder) / member).glob("*.npy")}


def written_at(folder: str, member: str = "p2phd1") -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (Path(folder) / member).glob("*.npy")}


def manifest(folder: str, member: str = "p2phd1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / member / "manifest.json").read_text())
    return found


def assert_same_predictions(one: str, two: str, *names: str) -> None:
    for name in names or ("p2phd1",):
        assert pictures(one, name) == pictures(two, name)
        ours, theirs = manifest(one, name), manifest(two, name)
        assert list(ours["scenes"]) == list(theirs["scenes"])
        assert ours == theirs
        files = {path.name for path in (Path(two) / name).iterdir()}
        assert files == {*pictures(two, name), "manifest.json", ".lock"}


def stop_writing(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> None:
    """Images are written one after the other; the one after `after` ends with `error`."""
    whole, count = kit.prediction.writer.write_image, 0

    def write(path: Path, image: NDArray[np.uint16]) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise error
        whole(path, image)

    monkeypatch.setattr(kit.prediction.writer, "write_image", write)
    monkeypatch.setattr(kit.prediction.writer, "_THREADS", 1)
