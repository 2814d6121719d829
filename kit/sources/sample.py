"""The values of some images of a source, spread over all: what its units are judged by.

In: twins. Out: values by band, as the files hold them. Images that cannot be read are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.sources.definition import Definition
from kit.sources.pixels import read_image
from kit.sources.twins import Twins
from kit.sources.units import Sample, concatenate

_IMAGES, _EVERY = 64, 4  # and of their pixels each fourth, along both axes


def take_sample(data: Path, twins: Sequence[Twins], definition: Definition) -> Sample:
    """Read some images, not of the test part if there are others.

    Raises:
        InputError: no image of a sensor can be read, or has a finite value.
    """
    usable = [each for each in twins if each.part != "test"] or twins
    values: dict[str, list[Any]] = {"VV": [], "VH": [], "DN": []}
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
        thin = pixels[:, ::_EVERY, ::_EVERY]
        if image.sensor == "radar":
            values["VV"].append(thin[0])
            values["VH"].append(thin[1])
        else:
            values["DN"].append(thin)
    for sensor, first in errors.items():
        if not dtypes[sensor]:
            raise first
    found = {band: concatenate(parts) for band, parts in values.items()}
    for sensor, bands in (("radar", ("VV", "VH")), ("optical", ("DN",))):
        if dtypes[sensor] and not all(found[band].size for band in bands):
            raise InputError(data, f"its {sensor} images have no finite value")
    return Sample(found, dtypes, {sensor: frozenset(names) for sensor, names in drivers.items()})
