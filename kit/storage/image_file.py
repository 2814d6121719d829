"""`<scene>.npy`: the prediction of one scene.

In: uint16 [3, H, W] in R, G, B order, whose values over 65535 are in [0, 1]; or the file. Out: the
one from the other; integers, to be averaged exactly. Refused by name: a file that is missing, holds
another array, or other values than when it was written.
"""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.storage.arrays import array_sha256, read_array

_SUFFIX = ".npy"


def image_path(folder: Path, scene: object) -> Path:
    """The file of a scene in a folder of predictions, whether it exists or not.

    Args:
        folder: with the predictions of one member.
        scene: its text is the name, `<lon>_<lat>_<YYYY>_<MM>_<DD>`.
    """
    return folder / f"{scene}{_SUFFIX}"


def image_paths(folder: Path) -> Iterator[Path]:
    """The files of all scenes that are predicted, in no particular order."""
    return folder.glob(f"*{_SUFFIX}")


def read_image(path: Path, sha256: str | None, remedy: str) -> NDArray[np.uint16]:
    """The prediction [3, H, W] in a file, mapped and read-only.

    Args:
        path: of the file.
        sha256: its `digest` when it was written; not compared if None.
        remedy: tells the user what to do where it cannot be used.

    Raises:
        InputError: the file is missing, damaged or holds something else.
    """
    image = read_array(path, remedy)
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[0] != 3:
        problem = f"holds {image.dtype} {list(image.shape)} in place of uint16 [3, H, W]"
        raise InputError(path, problem, remedy=remedy)
    if sha256 is not None and digest(image) != sha256:
        problem = "damaged: it is not what was predicted (its checksum differs)"
        raise InputError(path, problem, remedy=remedy)
    return image


def write_image(path: Path, image: NDArray[np.uint16]) -> None:
    """Write the file of a prediction [3, H, W], as `numpy.save` does but without copies of it.

    It is written where it says: the caller gives it its name once it is on disk.
    """
    image = np.ascontiguousarray(image, "<u2")
    with path.open("wb") as file:
        file.writelines((_header(image.shape), image.data))


def digest(image: NDArray[np.uint16]) -> str:
    """SHA-256 of the shape and the values of a prediction, whatever file holds them."""
    return array_sha256(np.asarray(image, "<u2"))


@cache
def _header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    described = {"descr": "<u2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()
