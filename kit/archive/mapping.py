"""Truths found in a folder -> the mapping of a server, with the truths beside it.

In: what `kit.scoring.truth.load_truth` found. Out: the JSON that the server of 2022 or of 2023
reads, and a folder `truth/` with the images that it names: all that an organiser needs to score by,
and what a user can look at. Refused by name: what the shape of 2023 cannot say.
"""

import re
from pathlib import Path
from typing import Literal

from kit.errors import InputError
from kit.files import write_bytes, write_json
from kit.scoring.images import read_pixels
from kit.scoring.truth import Truth, TruthSet, scene_in
from kit.tiles.tiff import RGB_BANDS, TileName, encode_tiff, write_tile

FOLDER = "truth"
# Anything else could end a key of 2023, which the server's code evaluates.
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)


def write_mapping(truth: TruthSet, path: Path, year: Literal["2022", "2023"] = "2022") -> Path:
    """Write the truths of a set, and the mapping that names them.

    2022: `{input: {truth: [submission, ...]}}`, each truth one TIFF of three bands. 2023:
    `{"['submission', ...]": [truth, ...]}`, each truth three tiles B4, B3, B2. Pixels stay as they
    are. `load_truth` on the mapping then finds the same inputs as before.

    Args:
        truth: the inputs, their submissions and their truths.
        path: the JSON; the truths go to `truth/` beside it.
        year: the shape.

    Returns:
        `path`.

    Raises:
        InputError: a truth cannot be read, two truths have one name, or the shape of 2023 cannot
            say it: names with other than plain letters, truths without a scene in their name or
            of other pixels than uint16, and submissions that not all truths of an input share.
    """
    written: dict[str, tuple[Path, ...]] = {}
    mapping: dict[str, object] = {}
    for sar in truth.inputs:
        names = {}
        for true in sar.truths:
            name = names[true] = f"{FOLDER}/{_name(true)}"
            if written.setdefault(name, true.paths) != true.paths:
                raise InputError(true.name, "is the name of two truths", "rename one")
            if year == "2023" and true.submissions != sar.submissions:
                problem = f"is not a truth of all submissions of {sar.name}"
                raise InputError(true.name, problem, "the shape of 2023 cannot say that")
        if year == "2022":
            mapping[sar.name] = {names[true]: list(true.submissions) for true in sar.truths}
        else:
            if odd := [name for name in sar.submissions if not _PLAIN.fullmatch(name)]:
                raise InputError(odd[0], "holds other than letters, digits, . / _ and -")
            mapping[str(list(sar.submissions))] = list(names.values())
    done = set()
    for true in (true for sar in truth.inputs for true in sar.truths):
        if true.paths not in done:
            _write(true, path.parent / FOLDER, year)
            done.add(true.paths)
    write_json(path, mapping)
    return path


def _name(truth: Truth) -> str:
    key = scene_in(truth.name)
    return f"Sentinel2_{key}.tiff" if key else Path(truth.name).name


def _write(truth: Truth, folder: Path, year: str) -> None:
    pixels = read_pixels(truth)
    if year == "2022":
        write_bytes(folder / _name(truth), encode_tiff(pixels))
        return
    key = scene_in(truth.name)
    if key is None or pixels.dtype != "uint16":
        problem = f"holds {pixels.dtype}" if key else "has no place and date in its name"
        raise InputError(truth.name, problem, "the truths of 2023 are tiles B4, B3, B2 of uint16")
    for band, tile in zip(RGB_BANDS, pixels, strict=True):
        write_tile(folder, TileName("Sentinel2", band, key), tile)
