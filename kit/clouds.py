"""Pixel counts of Sentinel-2 scenes: nodata, QA60, and a cloud rule on brightness and saturation.

In: uint16 digital numbers of B4, B3, B2 and QA60. Out: six integers a scene, named by `COLUMNS`;
ratios and thresholds on them are the screen's business. Refused: other pixel types and shapes.
A compiled core and a numpy reference count the same in exact integer arithmetic; `KIT_CLOUDS` picks
one, and without it the core is used wherever the installed kit has it.
"""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kit
from kit.errors import InputError

COLUMNS = ("valid", "nodata", "qa60_opaque", "qa60_cirrus", "qa60", "cloud")
VARIABLE = "KIT_CLOUDS"
OPAQUE = 1 << 10
CIRRUS = 1 << 11
_LIBRARY = "libkit_clouds.so"
_MAX_PIXELS = 2**32 - 1  # the core counts in 32 bits
_REMEDY = "install a C++ compiler and then the kit again (in a clone: make --always-make setup)"


@dataclass(frozen=True, slots=True)
class CloudRule:
    """A pixel is cloud where its brightness exceeds its saturation by more than `threshold`.

    With the digital numbers clipped to `scale` (5000 is a reflectance of 0.5) and M, m the largest
    and smallest of the three, brightness is v = M / scale, saturation is s = (M - m) / M, and the
    pixel is cloud where v - s > threshold. Haze brightens and whitens, so v - s grows with it: the
    colour attenuation prior of Zhu, Mai and Shao, IEEE TIP 24(11), 2015.

    The defaults are calibrated on the 13 official sample scenes. At scale 5000 the largest v - s in
    a scene is at most 0.394 over the 5 that are clear by eye, and at least 0.479 in each of the 8
    cloudy ones; 0.43 lies between.

    Args:
        scale: 1 to 65535, in digital numbers.
        threshold: -1 to 1 in steps of 0.001, so that integers can hold it.

    Raises:
        InputError: a value is out of its range.
    """

    scale: int = 5000
    threshold: float = 0.43

    def __post_init__(self) -> None:
        if not isinstance(self.scale, int) or not 1 <= self.scale <= 65535:
            raise InputError("cloud scale", f"is {self.scale!r}", "it is an integer, 1 to 65535")
        # The tolerance admits sums such as 0.1 + 0.2. NaN fails the range.
        in_range = -1 <= self.threshold <= 1
        if not in_range or abs(self.threshold - self.threshold_milli / 1000) > 1e-9:
            allowed = "it is a multiple of 0.001 from -1 to 1"
            raise InputError("cloud threshold", f"is {self.threshold!r}", allowed)

    @property
    def threshold_milli(self) -> int:
        """The threshold in thousandths."""
        return round(self.threshold * 1000)


def count(
    rgb: NDArray[np.uint16],
    qa60: NDArray[np.uint16],
    rule: CloudRule,
    backend: str | None = None,
) -> NDArray[np.int64]:
    """Count the pixels of N scenes.

    `nodata` are the pixels that are 0 in all three bands, or all pixels of a scene with a constant
    band; `valid` are the others, and only they enter the rest. `qa60_opaque` has bit 10 of QA60,
    `qa60_cirrus` bit 11, `qa60` either; `cloud` is where `rule` holds. The compiled core uses the
    calling thread alone and frees the interpreter meanwhile, so callers may run several.

    Args:
        rgb: [N, 3, H, W] digital numbers of B4, B3, B2.
        qa60: [N, H, W].
        rule: what counts as cloud.
        backend: "native" or "reference"; the one that `backend()` names when None.

    Returns:
        [N, 6], the columns in the order of `COLUMNS`.

    Raises:
        InputError: a wrong pixel type or shape, or a backend that is unknown or missing.
    """
    _check(rgb, qa60)
    return _kernel(backend)(rgb, qa60, rule)


@cache
def backend() -> tuple[str, str]:
    """Name of the backend that `count` uses by default, and why; settled by the first call.

    Raises:
        InputError: `KIT_CLOUDS` names a backend that is unknown or missing.
    """
    forced = os.environ.get(VARIABLE)
    if forced:
        _kernel(forced)
        return forced, f"{VARIABLE} asks for it"
    core, why = _core()
    return ("native", why) if core else ("reference", f"{why}; {_REMEDY}")


def _check(rgb: NDArray[np.uint16], qa60: NDArray[np.uint16]) -> None:
    for name, array in (("rgb", rgb), ("qa60", qa60)):
        if array.dtype != np.uint16:
            raise InputError(name, f"pixels are {array.dtype}", "they must be uint16")
    if rgb.ndim != 4 or rgb.shape[1] != 3 or 0 in rgb.shape[1:]:
        raise InputError("rgb", f"its shape is {rgb.shape}", "it must be [N, 3, H, W]")
    scenes, _, height, width = rgb.shape
    if qa60.shape != (scenes, height, width):
        expected = f"{(scenes, height, width)}, after rgb's {rgb.shape}"
        raise InputError("qa60", f"its shape is {qa60.shape}", f"it must be {expected}")
    if height * width > _MAX_PIXELS:
        raise InputError("rgb", f"a scene has {height * width} pixels", f"at most {_MAX_PIXELS}")


_Kernel = Callable[[NDArray[np.uint16], NDArray[np.uint16], CloudRule], NDArray[np.int64]]


def _kernel(name: str | None) -> _Kernel:
    name = name or backend()[0]
    if name == "reference":
        return _count_reference
    if name != "native":
        raise InputError("cloud backend", f"is {name!r}", "it is native or reference")
    core, why = _core()
    if core is None:
        raise InputError("cloud backend native", why, f"{_REMEDY}, or set {VARIABLE}=reference")
    return partial(_count_native, core)


@cache
def _core() -> tuple[Any, str]:
    """The compiled function, or None, and where it was found or why it was not."""
    # An editable install keeps the core in site-packages and this file in the clone.
    paths = [Path(folder) / _LIBRARY for folder in kit.__path__]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None, "the kit was installed without a compiled core"
    try:
        function = ctypes.CDLL(str(path)).kit_clouds_count
    except (OSError, AttributeError) as error:
        return None, f"the compiled core does not load ({error})"
    pointer, stride = ctypes.c_void_p, ctypes.c_int64
    shape, rule = (ctypes.c_int64, ctypes.c_uint32), (ctypes.c_uint16, ctypes.c_int32)
    function.argtypes = [pointer, stride, pointer, stride, *shape, *rule, pointer]
    function.restype = None
    return function, f"compiled core at {path}"


def _count_native(
    core: Any, rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> NDArray[np.int64]:
    rgb, qa60 = _scenes_packed(rgb), _scenes_packed(qa60)
    counts = np.empty((len(rgb), len(COLUMNS)), np.int64)
    core(
        rgb.ctypes.data,
        rgb.strides[0] // rgb.itemsize,
        qa60.ctypes.data,
        qa60.strides[0] // qa60.itemsize,
        len(rgb),
        qa60.shape[1] * qa60.shape[2],
        rule.scale,
        rule.threshold_milli,
        counts.ctypes.data,
    )
    return counts


def _scenes_packed(array: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The array, copied only if a scene of it is not one packed block."""
    # Scenes are read as [4, H, W], and copying their first three bands takes as long as counting.
    if array.flags.aligned and array[:1].flags.c_contiguous:
        return array
    return np.require(array, requirements=["C", "A"])


def _count_reference(
    rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> NDArray[np.int64]:
    counts = [_count_scene(*scene, rule) for scene in zip(rgb, qa60, strict=True)]
    return np.array(counts, np.int64).reshape(-1, len(COLUMNS))


def _count_scene(
    rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> tuple[int, ...]:
    """One row of `count`, the way the definition reads."""
    highest, lowest = rgb.max(axis=0), rgb.min(axis=0)
    constant = (rgb.max(axis=(1, 2)) == rgb.min(axis=(1, 2))).any()
    valid = (highest != 0) & ~constant
    opaque = valid & (qa60 & OPAQUE != 0)
    cirrus = valid & (qa60 & CIRRUS != 0)

    # v - s > t times 1000 * scale * M, which is positive wherever a pixel is valid.
    largest, smallest = (np.minimum(x, rule.scale).astype(np.int64) for x in (highest, lowest))
    excess = largest * largest - rule.scale * (largest - smallest)
    cloud = valid & (1000 * excess > rule.threshold_milli * rule.scale * largest)

    masks = (valid, ~valid, opaque, cirrus, opaque | cirrus, cloud)
    return tuple(int(np.count_nonzero(mask)) for mask in masks)
