"""Reading in threads, so that inference does not wait for it.

In: radar scenes. Out: the input of a network for each, in their order. At most `ahead` scenes wait
to be predicted: the memory of a prediction does not depend on their number. A pixel that waits
takes 8 bytes: with 16 scenes of 256x256 that is 8 MiB.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.inputs.planes import InputPlanes
from kit.machine.cores import file_threads
from kit.machine.lookahead import map_ahead
from kit.scaling import radar_nodata, scale_radar
from kit.storage.arrays import array_sha256
from kit.tiles.reader import read_scene_and_type
from kit.tiles.scenes import Scene
from kit.tiles.values import count_values

AHEAD = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """A scene's radar [2, H, W] in [0, 1], and `nodata`, the share of its pixels without data.

    `values` are its counts [7] by `kit.tiles.values`, and `float16` says whether its files hold
    floats of 16 bits. `inputs` are what the networks are given, one for each of the `InputPlanes`
    that were asked for.
    """

    scene: Scene
    radar: NDArray[np.float32]
    nodata: float
    values: NDArray[np.int64]
    float16: bool = False
    inputs: tuple["Input", ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """What one network is given of a scene, planes [C, H, W] in [0, 1], and facts of them.

    The facts are those of `kit.prediction.manifest.SCENE_VALUES`: digests, and dates.
    """

    planes: NDArray[np.float32]
    facts: dict[str, Any]


def readings(
    scenes: Sequence[Scene], ahead: int = AHEAD, planes: Sequence[InputPlanes] = ()
) -> Generator[tuple[Scene, Reading | InputError], None, None]:
    """Each scene, in order, with its reading or the error that reading it raised.

    Its threads end with it; whoever leaves it early has to close it.

    Args:
        scenes: which to read.
        ahead: how many are read before they are asked for.
        planes: of each network that predicts them.
    """

    def read(scene: Scene) -> tuple[Scene, Reading | InputError]:
        return scene, read_radar(scene, planes)

    return map_ahead(read, scenes, threads=file_threads(), depth=ahead, name="read")


def read_radar(scene: Scene, planes: Sequence[InputPlanes] = ()) -> Reading | InputError:
    """The reading of a scene for these planes, or the error that reading it raised."""
    try:
        sar, float16 = read_scene_and_type("Sentinel1", scene.files)
    except InputError as error:
        return error
    nodata = radar_nodata(sar)
    radar = scale_radar(sar, nodata)
    values = count_values("Sentinel1", sar[None])[0]
    sha256 = array_sha256(radar)
    alone = Input(radar, {"input_sha256": sha256})
    try:
        inputs = tuple(
            alone if each.is_radar_alone else _input(each, scene, sar, nodata, sha256)
            for each in planes
        )
    except InputError as error:
        return error
    return Reading(scene, radar, float(nodata.mean()), values, float16, inputs)


def _input(
    planes: InputPlanes,
    scene: Scene,
    sar: NDArray[np.float32],
    nodata: NDArray[np.bool_],
    radar_sha256: str,
) -> Input:
    made = planes.of(scene.key, sar, nodata)
    facts: dict[str, Any] = {"radar_sha256": radar_sha256}
    facts["input_sha256"] = array_sha256(made.values)
    if planes.series:
        facts["radar_dates"] = made.radar_dates
    if planes.priors:
        facts["prior_dates"] = made.prior_dates
    return Input(made.values, facts)
