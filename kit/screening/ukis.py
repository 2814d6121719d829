"""Cloud and cloud shadow by ukis-csmask, the detector of DLR whose networks come in its wheel.

`pip install 'sar-to-optical-kit[detector]'` installs it. In: digital numbers of Level-2A scenes.
Out: a class for each pixel, the same as the package's own `CSmask` gives. That one opens a session
for each image; here one session serves all images of a process, through the package's public
functions, and several tiles go through it at a time. Refused: anything where the package is
missing.

Source: Wieland, Fichtner and Martinis, UKIS-CSMASK, ISPRS Archives XLIII-B3-2022, 217-222.
"""

import threading
from functools import cache
from importlib.metadata import version as installed
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError

NAME = "ukis-csmask"
CLEAR, CLOUD, SHADOW = range(3)
BANDS = ("B4", "B3", "B2", "B8", "B11", "B12")
"""What its networks see: the first four or all six."""
_TAKEN = {"B2": "blue", "B3": "green", "B4": "red", "B8": "nir", "B11": "swir16", "B12": "swir22"}
# Tiles without B10, as the challenge's are, are Level 2A.
_LEVEL = "l2a"
_FULL = np.float32(10_000)  # DN of reflectance 1
_OVERLAP = 0.2  # of the squares that an image is cut into, as CSmask has it
_BATCH = 8
_LOCK = threading.Lock()


def version() -> str:
    """Name and version of the detector.

    Raises:
        InputError: it is not installed, or cannot be loaded.
    """
    _package()
    return f"{NAME} {installed(NAME)}"


def classes(pixels: NDArray[np.uint16], threads: int) -> NDArray[np.uint8]:
    """`CLEAR`, `CLOUD` or `SHADOW` for each pixel of N scenes of one size.

    Args:
        pixels: [N, 4 or 6, H, W] digital numbers, in the order of `BANDS`.
        threads: of the network.

    Returns:
        [N, H, W].

    Raises:
        InputError: the package is not installed.
    """
    n, bands, height, width = pixels.shape
    _, utils = _package()
    with _LOCK:
        network = _network(bands, threads)
    names = [_TAKEN[band] for band in BANDS[:bands]]
    found = np.empty((n, height, width), np.uint8)
    for index, scene in enumerate(pixels):
        image = np.moveaxis(scene, 0, -1).astype(np.float32) / _FULL
        ordered = network.adjust_band_order(image, names, network.band_order)
        image = network.normalize(ordered, network.band_mean, network.band_std)
        squares = utils.tile_array(image, *network.target_size, overlap=_OVERLAP)
        squares = np.moveaxis(squares, -1, 1)
        logits = [
            network.session.run(None, {network.input_names: squares[start : start + _BATCH]})[0]
            for start in range(0, len(squares), _BATCH)
        ]
        shares = np.moveaxis(network.softmax(np.concatenate(logits)), 1, -1)
        size = (height, width, shares.shape[-1])
        whole = utils.untile_array(shares, size, overlap=_OVERLAP, smooth_blending=True)
        found[index] = whole.argmax(axis=-1)
    return found


@cache
def _network(bands: int, threads: int) -> Any:
    """A `CSmask` of an empty image, for its session and what goes with that."""
    order = [_TAKEN[band] for band in ("B2", "B3", "B4", "B8", "B11", "B12")[:bands]]
    mask, _ = _package()
    return mask.CSmask(
        np.zeros((256, 256, bands), np.float32),
        order,
        product_level=_LEVEL,
        intra_op_num_threads=threads,
        inter_op_num_threads=1,
        providers=["CPUExecutionProvider"],
    )


def _package() -> tuple[Any, Any]:
    """The package's modules `mask` and `utils`.

    Raises:
        InputError: it, or onnxruntime, is not installed, or cannot be loaded.
    """
    try:
        from ukis_csmask import mask, utils
    except ImportError as error:
        problem = "not installed" if error.name else "installed without onnxruntime"
        remedy = "pip install 'sar-to-optical-kit[detector]'"
        raise InputError(NAME, problem, remedy=remedy) from None
    return mask, utils
