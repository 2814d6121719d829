"""The compiled core: three libraries beside the package, loaded when first used.

`kit_core` counts, reads, rounds and predicts pixels on the CPU; `kit_norms` has instance norm
for training there; `kit_cuda` counts on an NVIDIA GPU, and exists if nvcc did when the kit was
installed. All have a plain C interface, so neither Python's nor torch's version matters to them. A
library that is missing or does not load is no error here: the reason is returned, and the caller
decides.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kit
from kit.errors import InputError

AGAIN = "install the kit again (in a clone: make --always-make setup)"
_COMPILER = f"install a C++ compiler and then {AGAIN}"
REMEDIES = {
    "kit_core": _COMPILER,
    "kit_norms": _COMPILER,
    "kit_cuda": f"put CUDA's nvcc on the path and {AGAIN}",
}


class ScenesStruct(ctypes.Structure):
    """`struct Scenes` of ext/pixel.hpp: N Sentinel-2 scenes by address and strides in elements."""

    _fields_ = (
        ("rgb", ctypes.c_void_p),
        ("rgb_strides", ctypes.c_int64 * 4),
        ("qa60", ctypes.c_void_p),
        ("qa60_strides", ctypes.c_int64 * 3),
        ("scenes", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )

    @classmethod
    def of(cls, rgb: NDArray[np.uint16], qa60: NDArray[np.uint16]) -> "ScenesStruct":
        """Describe arrays [N, 3, H, W] and [N, H, W], which must outlive the description."""
        strides = [tuple(step // array.itemsize for step in array.strides) for array in (rgb, qa60)]
        return cls(rgb.ctypes.data, strides[0], qa60.ctypes.data, strides[1], *qa60.shape)


class RuleStruct(ctypes.Structure):
    """`struct Rule` of ext/clouds.cpp."""

    _fields_ = (
        ("scale", ctypes.c_int32),
        ("threshold_milli", ctypes.c_int32),
        ("min_area", ctypes.c_int32),
        ("dilate", ctypes.c_int32),
    )


class LimitsStruct(ctypes.Structure):
    """`struct Limits` of ext/values.cpp."""

    _fields_ = (
        ("floor", ctypes.c_float),
        ("low", ctypes.c_float * 2),
        ("strong", ctypes.c_float),
        ("high", ctypes.c_uint16),
        ("dark", ctypes.c_uint16),
    )


class TreesStruct(ctypes.Structure):
    """`struct Trees` of ext/trees.cpp."""

    _fields_ = (
        ("channels", ctypes.c_int64),
        ("trees", ctypes.c_int64),
        ("leaves", ctypes.c_int64),
        ("starts", ctypes.c_void_p),
        ("feature", ctypes.c_void_p),
        ("threshold", ctypes.c_void_p),
        ("kept", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )

    @classmethod
    def of(cls, channels: int, values: NDArray[np.float32], *arrays: NDArray[Any]) -> "TreesStruct":
        """Describe the arrays of all channels' trees, which must outlive the description."""
        trees, leaves = values.shape
        at = [array.ctypes.data for array in (*arrays, values)]
        return cls(channels, trees // channels, leaves, *at)


_pointer, _int32, _int64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_scenes, _rule = ctypes.POINTER(ScenesStruct), ctypes.POINTER(RuleStruct)
_limits, _trees = ctypes.POINTER(LimitsStruct), ctypes.POINTER(TreesStruct)
_SIGNATURES: dict[str, dict[str, tuple[Any, list[Any]]]] = {
    "kit_core": {
        "kit_count": (ctypes.c_int, [_scenes, _rule, _int64, _pointer, _pointer]),
        "kit_radar_missing": (
            None,
            [_pointer, _int64, _int64, ctypes.c_float, _int64, _pointer],
        ),
        "kit_radar_values": (None, [_pointer, _int64, _int64, _int64, _limits, _pointer]),
        "kit_optical_values": (
            None,
            [_pointer, _int64, _int64, _int64, _int64, _limits, _pointer],
        ),
        "kit_levels": (
            ctypes.c_int32,
            [_pointer, _int64, ctypes.c_float, ctypes.c_float, _pointer],
        ),
        "kit_add_trees": (ctypes.c_int, [_trees, _pointer, _int64, _int64, _int64, _pointer]),
        "kit_read_plain": (
            None,
            [ctypes.c_char_p, _int64, _int32, _int64, _int64, _int64, _pointer, _pointer],
        ),
    },
    "kit_norms": {
        "kit_instance_norm": (
            None,
            [_pointer, _int64, _int64, _int64, ctypes.c_float, _pointer, _pointer, _pointer],
        ),
        "kit_instance_norm_gradient": (
            None,
            [_pointer, _pointer, _int64, _int64, _int64, _pointer, _pointer, _pointer],
        ),
    },
    "kit_cuda": {
        "kit_cuda_count": (ctypes.c_int, [_scenes, _int32, _int32, _pointer, _pointer]),
        "kit_cuda_count_host": (ctypes.c_int, [_scenes, _int32, _int32, _pointer]),
        "kit_cuda_devices": (ctypes.c_int, [ctypes.POINTER(ctypes.c_int)]),
        "kit_cuda_error": (ctypes.c_char_p, [ctypes.c_int]),
    },
}


@cache
def load(name: str) -> tuple[ctypes.CDLL | None, str]:
    """The library called `name`, or None; and where it was found, or why it was not."""
    # An editable install keeps the libraries in site-packages and this file in the clone.
    paths = [Path(folder) / f"lib{name}.so" for folder in kit.__path__]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None, f"the kit was installed without {name}"
    try:
        library = ctypes.CDLL(str(path))
        for function, (result, arguments) in _SIGNATURES[name].items():
            getattr(library, function).restype = result
            getattr(library, function).argtypes = arguments
    except (OSError, AttributeError) as error:
        return None, f"{name} does not load ({error})"
    return library, f"compiled, at {path}"


def pick_backend(variable: str, check: Callable[[str], object], fallback: str) -> tuple[str, str]:
    """The backend that an environment variable names, and why; "native" if it is not set.

    Args:
        variable: its name.
        check: raises InputError for a backend that is unknown or missing.
        fallback: the backend where there is no compiled core.

    Raises:
        InputError: what the variable names cannot be used.
    """
    forced = os.environ.get(variable)
    if forced:
        try:
            check(forced)
        except InputError as error:
            raise InputError(f"{variable}={forced}", error.problem, remedy=error.remedy) from None
        return forced, f"{variable} names it"
    return backend_of("kit_core", fallback)


def backend_of(library: str, fallback: str) -> tuple[str, str]:
    """The backend "native" if the library of this name loads, else `fallback`; and why."""
    loaded, why = load(library)
    return ("native", why) if loaded else (fallback, f"{why}; {REMEDIES[library]}")
