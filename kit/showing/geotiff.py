"""Views -> GeoTIFFs: radar, optical scene, masks and predictions where they lie.

In: views and a folder. Out: a file each, `<what>_<lon>_<lat>_<YYYY>_<MM>_<DD>.tiff`. Radar and
optical values are those of the tiles; predictions of reflectance are DN, as optical scenes are.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.scaling import DN_RANGE
from kit.showing.view import Pixels, Prediction, View
from kit.storage.files import make_folder
from kit.tiles.geotiff import write_geotiff
from kit.tiles.named_grid import named_grid
from kit.tiles.names import RGB_BANDS, S1_BANDS, S2_BANDS, SceneKey

_NAMED = "by the name of the tile, to about a pixel"
_DECLARED = "where the tile declares that it lies"


def write_geotiffs(views: Sequence[View], folder: Path) -> tuple[Path, ...]:
    """Write everything that has pixels; returns the files, each once.

    Args:
        views: of any places.
        folder: made if it is not there; files of these names in it are replaced.

    Raises:
        OutputError: a file cannot be written.
    """
    make_folder(folder)
    written: dict[Path, None] = {}
    for view in views:
        for scene in (view.radar, view.optical):
            if scene:
                written[_write_scene(folder, scene)] = None
        if view.optical:
            written[_write_masks(folder, view, view.optical)] = None
        for prediction in view.predictions:
            written[_write_prediction(folder, view, prediction)] = None
    return tuple(written)


def _write_scene(folder: Path, pixels: Pixels) -> Path:
    is_radar = pixels.scene.sensor == "Sentinel1"
    bands = S1_BANDS if is_radar else S2_BANDS[: len(pixels.values)]
    unit = "sigma nought in dB" if is_radar else "DN, reflectance * 10000; QA60 is flags"
    return write_geotiff(
        _path(folder, pixels.scene.sensor.lower(), pixels.key),
        pixels.values,
        pixels.grid,
        bands,
        _tags(unit, pixels),
        is_color=not is_radar,
    )


def _write_masks(folder: Path, view: View, optical: Pixels) -> Path:
    masks = view.masks()
    values = np.stack([*masks.values()]).astype(np.uint8)
    tags = _tags(f"1 where it is so, by {view.rule}", optical)
    return write_geotiff(_path(folder, "masks", optical.key), values, optical.grid, [*masks], tags)


def _write_prediction(folder: Path, view: View, prediction: Prediction) -> Path:
    values, unit = _in_unit(prediction)
    one = view.radar or view.optical
    assert one
    return write_geotiff(
        _path(folder, prediction.name, one.key),
        values,
        view.grid,
        RGB_BANDS,
        _tags(unit, one) | {"predicted_by": prediction.name},
        is_color=True,
    )


def _in_unit(prediction: Prediction) -> tuple[NDArray[np.float32], str]:
    """The values as they are written, and their unit."""
    if prediction.target == "minmax":
        return prediction.unit, "0 to 1, each band between the extremes of its image"
    low, high = DN_RANGE
    return prediction.unit * np.float32(high - low) + np.float32(low), "DN, reflectance * 10000"


def _tags(unit: str, pixels: Pixels) -> dict[str, str]:
    height, width = pixels.values.shape[1:]
    is_named = pixels.grid == named_grid(pixels.key.place, height, width)
    return {"unit": unit, "placed": _NAMED if is_named else _DECLARED}


def _path(folder: Path, what: str, scene: SceneKey) -> Path:
    return folder / f"{what}_{scene}.tiff"
