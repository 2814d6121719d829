"""The values of some images of a source, spread over all: what its units are judged by.

In: twins. Out: values by band, as the files hold them. Images that cannot be read are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.sources.definition import Definition
from kit.sources.pixels import read_image
from kit.sources.twins import Twins
from kit.sources.units import Sample

_IMAGES, _EVERY = 64, 4  # and of their pixels each fourth, along both axes


def take_sample(data: Path, twins: Sequence[Twins], definition: Definition) -> Sample:
    """Read some images, not of the test part if there are others.

    Raises:
        InputError: no image of a sensor can be read, or has a finite value.
    """
    usable = [each for each in twins if each.part != "test"] or twins
    values: dict[str, list[NDArray[Any]]] = {"radar": [], "optical": []}
    dtypes: dict[str, dict[str, str]] = {"radar": {}, "optical": {}}
    drivers: dict[str, set[str]] = {"radar": set(), "optical": set()}
    errors: dict[str, InputError] = {}
    step = max(1, len(usable) // _IMAGES)
    for image in (i for each in usable[::step] for i in (each.radar, each.optical) if i):
        try:
            pixels, header = read_image(data, image, definition)
        except InputError as error:
            errors.setdefault(image.sensor, error)
            continue
        dtypes[image.sensor].setdefault(header.dtype, image.name)
        drivers[image.sensor].add(header.driver)
        values[image.sensor].append(pixels[:, ::_EVERY, ::_EVERY])
    for sensor, first in errors.items():
        if not dtypes[sensor]:
            raise first
    radar, optical = _finite(values["radar"], 2), _finite(values["optical"], 3)
    for sensor, found in (("radar", radar), ("optical", optical)):
        if dtypes[sensor] and not found.size:
            problem = f"its {sensor} images have no finite value"
            raise InputError(data, problem, remedy="fetch them again, or remove the empty ones")
    return Sample(
        {"VV": radar[0], "VH": radar[1], "DN": optical},
        dtypes,
        {sensor: frozenset(names) for sensor, names in drivers.items()},
    )


def _finite(parts: Sequence[NDArray[Any]], bands: int) -> NDArray[np.float64]:
    """The pixels [bands, n] of arrays [bands, H, W] that are finite in all bands."""
    flat = [np.zeros((bands, 0)), *(part.reshape(bands, -1).astype(np.float64) for part in parts)]
    pixels = np.concatenate(flat, axis=1)
    result: NDArray[np.float64] = pixels[:, np.isfinite(pixels).all(axis=0)]
    return result
