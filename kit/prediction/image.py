"""`predictions/<variant>/<scene>.npy`: the prediction of one scene.

In: RGB in [0, 1], or the file. Out: the file's bytes, or uint16 [3, H, W] in R, G, B order, whose
values over 65535 are in [0, 1]. Refused by name: a file that is missing or holds another array.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import read_array
from kit.scaling import quantize
from kit.tiles.names import SceneKey

_SUFFIX = ".npy"


def image_path(folder: Path, scene: SceneKey | str) -> Path:
    """The file of a scene in the folder of a member's predictions, whether it exists or not."""
    return folder / f"{scene}{_SUFFIX}"


def image_paths(folder: Path) -> Iterator[Path]:
    """The files of all scenes that are predicted, in no particular order."""
    return folder.glob(f"*{_SUFFIX}")


def read_image(path: Path, remedy: str) -> NDArray[np.uint16]:
    """The prediction [3, H, W] in a file, mapped and read-only.

    Raises:
        InputError: the file is missing, damaged or holds something else; with this remedy.
    """
    image = read_array(path, remedy)
    if image.dtype != np.uint16 or image.ndim != 3 or image.shape[0] != 3:
        problem = f"holds {image.dtype} {list(image.shape)} in place of uint16 [3, H, W]"
        raise InputError(path, problem, remedy=remedy)
    return image


def encode_image(rgb: NDArray[np.float32]) -> bytes:
    """The bytes of the file for `rgb` [3, H, W] in [0, 1]: integers, to be averaged exactly."""
    data = io.BytesIO()
    np.save(data, quantize(rgb), allow_pickle=False)
    return data.getvalue()


def digest(image: NDArray[np.uint16]) -> str:
    """SHA-256 of the shape and the values of a prediction, whatever file holds them."""
    found = hashlib.sha256(repr(image.shape).encode())
    found.update(np.ascontiguousarray(image, "<u2").data)
    return found.hexdigest()
