"""Small made predictions and truths, for the tests of what comes after predicting."""

import io
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.archive.writer import write_zip
from kit.tiles.names import RGB_BANDS, SceneKey, TileName
from kit.tiles.tiff import write_tile

A = "-54.48_-3.33_2019_06_08"
B = "-55.20_-4.39_2019_06_20"


def image(seed: int, size: int = 256) -> NDArray[np.uint16]:
    """A random picture [3, H, W] over all of uint16."""
    return np.random.default_rng(seed).integers(0, 65536, (3, size, size), dtype=np.uint16)


def digital_numbers(seed: int, size: int = 256) -> NDArray[np.uint16]:
    """A random forest [3, H, W]: dark enough to be clear of clouds, nowhere 0."""
    return np.random.default_rng(seed).integers(1, 900, (3, size, size), dtype=np.uint16)


def write_member(
    predictions: Path, variant: str, images: Mapping[str, NDArray[Any]], **changes: Any
) -> Path:
    """Write `predictions/<variant>/` as `kit predict` does, and name it in `last.json`."""
    folder = predictions / variant
    folder.mkdir(parents=True, exist_ok=True)
    for scene, pixels in images.items():
        np.save(folder / f"{scene}.npy", pixels)
    manifest = {
        "variant": variant,
        "weights_sha256": f"weights of {variant}",
        "config": {"name": variant},
        "scaling": {"vv_db": [-25, 0], "vh_db": [-32.5, 0], "dn": [0, 3000]},
        "target": "reflectance",
        "mean_color": [0.1, 0.2, 0.15],
        "input": "TEST",
        "scenes": {scene: {"nodata": 0.0} for scene in images},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    last = {"ensemble": variant, "members": [variant]}
    (predictions / "last.json").write_text(json.dumps(last))
    return folder


def write_truth(
    folder: Path, scene: str, dn: NDArray[np.uint16], qa60: NDArray[np.uint16] | None = None
) -> None:
    """Write the optical tiles of a scene; without `qa60` there is no such tile."""
    key = SceneKey.parse(scene)
    for band, pixels in zip(RGB_BANDS, dn, strict=True):
        write_tile(folder, TileName("Sentinel2", band, key), pixels)
    if qa60 is not None:
        write_tile(folder, TileName("Sentinel2", "QA60", key), qa60)


def tiff(pixels: NDArray[Any]) -> bytes:
    """Encode [bands, H, W] with the reference library of the format, not with the kit's code."""
    import tifffile

    data = io.BytesIO()
    planes = "separate" if len(pixels) > 1 else None
    tifffile.imwrite(data, pixels, photometric="minisblack", planarconfig=planes)
    return data.getvalue()


def write_archive(path: Path, entries: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive of these entries as `kit package` writes its own."""
    with path.open("wb") as file:
        write_zip(file, (((name,), partial(bytes, data)) for name, data in entries))
