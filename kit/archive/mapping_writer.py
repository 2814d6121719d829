"""Truths -> a server's mapping: its JSON, and the images that it names in a folder beside it.

In: the truths found for an archive. Out: all that an organiser needs to score by. Refused by name:
what the shape of 2023 cannot express.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from kit.archive.contents import ImageNames
from kit.archive.mapping import ROOT_2023, SarInput, Truth, read_pixels, scene_in
from kit.errors import InputError
from kit.storage.files import output, write_bytes, write_json
from kit.tiles.names import RGB_BANDS, TileName
from kit.tiles.netcdf import Plane
from kit.tiles.tiff import encode_tiff, write_tile

Year = Literal["2022", "2023"]

FOLDER_2022 = "truth"
# Anything else could end a key of 2023, which the server's code evaluates.
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)


def write_mapping(inputs: Sequence[SarInput], path: Path, year: Year = "2022") -> Path:
    """Write the truths of SAR inputs, and the mapping that names them.

    2022: `{input: {truth: [submission, ...]}}`, each truth one TIFF of three bands in `truth/`.
    2023: `{"['submission', ...]": [truth, ...]}`, each truth three tiles B4, B3, B2 in
    `translation/`, which that server puts before the names of truths and submissions by itself.
    Pixels stay as they are. `load_truth` on the mapping then finds the same inputs as before.

    Args:
        inputs: each with its submissions and its truths.
        path: the JSON; the truths go to a folder beside it.
        year: the shape.

    Returns:
        `path`.

    Raises:
        InputError: a truth cannot be read, two truths have one name, or the shape of 2023 cannot
            say it: names with other than plain letters, one name in two folders, truths without a
            scene in their name or of other pixels than uint16, and submissions that not all truths
            of an input share.
    """
    if path.exists() and not path.is_file():
        problem = "is not a regular file, beside which the truths could be"
        raise InputError(path, problem, remedy="give the name of a file")
    _refuse_two_truths(inputs)
    if year == "2022":
        folder = path.parent / FOLDER_2022
        mapping: Mapping[str, object] = {sar.name: _listed_2022(sar) for sar in inputs}
    else:
        folder = path.parent / ROOT_2023
        names = {name: None for sar in inputs for name in sar.submissions}
        images = ImageNames([*names])
        mapping = dict(_listed_2023(sar, images) for sar in inputs)
    done = set()
    for true in (true for sar in inputs for true in sar.truths):
        if true.paths not in done:
            _write(true, folder, year)
            done.add(true.paths)
    with output(path) as part:
        write_json(part, mapping)
    return path


def _refuse_two_truths(inputs: Sequence[SarInput]) -> None:
    written: dict[str, tuple[Path | Plane, ...]] = {}
    for true in (true for sar in inputs for true in sar.truths):
        if written.setdefault(_name(true), true.paths) != true.paths:
            raise InputError(true.name, "is the name of two truths", remedy="rename one")


def _listed_2022(sar: SarInput) -> dict[str, list[str]]:
    return {f"{FOLDER_2022}/{_name(true)}": list(true.submissions) for true in sar.truths}


def _listed_2023(sar: SarInput, images: ImageNames) -> tuple[str, list[str]]:
    for true in sar.truths:
        if true.submissions != sar.submissions:
            problem = f"is not a truth of all submissions of {sar.name}"
            raise InputError(true.name, problem, remedy="the shape of 2023 cannot express that")
    if odd := [name for name in sar.submissions if not _PLAIN.fullmatch(name)]:
        problem = "contains other characters than letters, digits, . / _ and -"
        raise InputError(odd[0], problem, remedy="the shape of 2023 takes no others: rename it")
    names = [PurePosixPath(name).name for name in sar.submissions]
    for name in names:
        images.find(name)  # refuses one that is in two folders
    return str(names), [_name(true) for true in sar.truths]


def _name(truth: Truth) -> str:
    key = scene_in(truth.name)
    return f"Sentinel2_{key}.tiff" if key else Path(truth.name).name


def _write(truth: Truth, folder: Path, year: Year) -> None:
    pixels = read_pixels(truth)
    if year == "2022":
        write_bytes(folder / _name(truth), encode_tiff(pixels))
        return
    key = scene_in(truth.name)
    if key is None or pixels.dtype != "uint16":
        problem = f"holds {pixels.dtype}" if key else "has no place and date in its name"
        raise InputError(
            truth.name, problem, remedy="the truths of 2023 are tiles B4, B3, B2 of uint16"
        )
    for band, tile in zip(RGB_BANDS, pixels, strict=True):
        write_tile(folder, TileName("Sentinel2", band, key), tile)
