"""Pixel counts of scenes: nodata, QA60, and a cloud rule on brightness and saturation.

In: uint16 digital numbers of B4, B3, B2 and QA60. Out: six integers a scene, named by `COLUMNS`;
ratios of them are left to `kit.screening.table`. And of radar scenes how many pixels hold no
measurement. Refused: other pixel types and shapes. Three backends count the same in exact integer
arithmetic: the compiled core, a CUDA device, and numpy, which is the reference. `KIT_CLOUDS` picks
one; without it the core is used wherever the installed kit has it.
"""

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.machine import native
from kit.machine.cores import cores
from kit.scaling import BACKSCATTER_FLOOR, radar_nodata
from kit.screening.rule import NO_PEAK, CloudRule, cloud_mask, peak

if TYPE_CHECKING:
    import torch

COLUMNS = ("valid", "nodata", "qa60_opaque", "qa60_cirrus", "qa60", "cloud")
VARIABLE = "KIT_CLOUDS"
OPAQUE = 1 << 10
CIRRUS = 1 << 11
_LIBRARIES = {"native": "kit_core", "cuda": "kit_cuda"}
_MAX_PIXELS = 2**32 - 1


def count(
    rgb: NDArray[np.uint16],
    qa60: NDArray[np.uint16],
    rule: CloudRule,
    *,
    threads: int | None = None,
    backend: str | None = None,
) -> NDArray[np.int64]:
    """Count the pixels of N scenes.

    `nodata` are the pixels that are 0 in all three bands, or all pixels of a scene with a constant
    band; `valid` are the others, and only they enter the rest. `qa60_opaque` has bit 10 of QA60,
    `qa60_cirrus` bit 11, `qa60` either; `cloud` is what `rule` says.
    A rule that needs a pixel's neighbours is counted on the CPU even if the backend is CUDA.

    Args:
        rgb: [N, 3, H, W] digital numbers of B4, B3, B2, with any strides.
        qa60: [N, H, W].
        rule: what counts as cloud.
        threads: of the compiled core, which frees the interpreter meanwhile; all cores if None.
        backend: "native", "cuda" or "reference"; the one that `backend()` names when None.

    Returns:
        [N, 6], the columns in the order of `COLUMNS`.

    Raises:
        InputError: a wrong pixel type or shape, or a backend that is unknown, missing, or without
            a device.
    """
    _check(rgb, qa60)
    name, library = _resolve(backend)
    if name == "cuda" and rule.by_pixel:
        return _count_cuda(library, rgb, qa60, rule)
    return _count(_processor(name, library), rgb, qa60, rule, threads, None)


def count_with_peaks(
    rgb: NDArray[np.uint16],
    qa60: NDArray[np.uint16],
    rule: CloudRule,
    *,
    threads: int | None = None,
    backend: str | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """`count`, and the smallest threshold at which each scene has no cloud pixel.

    That is the largest v - s of a scene's pixels (see `CloudRule`), rounded up to thousandths. With
    it, whether a scene is free of clouds is known at every threshold without the pixels. It is
    always computed on the CPU.

    Returns:
        [N, 6] as `count`, and [N] in thousandths: `NO_PEAK`, the lowest threshold, where no pixel
        is valid.

    Raises:
        InputError: as `count`.
    """
    _check(rgb, qa60)
    name, library = _resolve(backend)
    peaks = np.empty(len(rgb), np.int32)
    counts = _count(_processor(name, library), rgb, qa60, rule, threads, peaks)
    if name == "cuda" and rule.by_pixel:
        counts = _count_cuda(library, rgb, qa60, rule)
    return counts, peaks


def count_on_device(rgb: "torch.Tensor", qa60: "torch.Tensor", rule: CloudRule) -> "torch.Tensor":
    """`count` for scenes that are in the memory of a CUDA device already.

    The work is queued on the current stream, and this does not wait for it.

    Args:
        rgb: [N, 3, H, W] uint16, with any strides.
        qa60: [N, H, W] uint16, on the same device.
        rule: what counts as cloud, by the pixel alone.

    Returns:
        [N, 6] int64 on the same device.

    Raises:
        InputError: as `count`; or tensors on other devices, or a rule with `min_area` or `dilate`.
    """
    import torch

    for name, tensor in (("rgb", rgb), ("qa60", qa60)):
        if tensor.device.type != "cuda" or tensor.device != rgb.device:
            raise InputError(name, f"is on {tensor.device}", remedy="put both on one CUDA device")
        if tensor.dtype != torch.uint16:
            raise InputError(name, f"pixels are {tensor.dtype}", remedy="they must be torch.uint16")
    _check_shapes(tuple(rgb.shape), tuple(qa60.shape))
    if not rule.by_pixel:
        problem = "cannot compute min_area and dilate, which need a pixel's neighbours"
        raise InputError(
            "cloud backend cuda", problem, remedy="leave them at their defaults, or use native"
        )
    _, library = _resolve("cuda")
    counts = torch.empty((len(rgb), len(COLUMNS)), dtype=torch.int64, device=rgb.device)
    scenes = native.ScenesStruct(
        rgb.data_ptr(), rgb.stride(), qa60.data_ptr(), qa60.stride(), *qa60.shape
    )
    with torch.cuda.device(rgb.device):
        stream = torch.cuda.current_stream().cuda_stream
        limit = rule.scale, rule.threshold_milli
        _check_cuda(library, library.kit_cuda_count(scenes, *limit, counts.data_ptr(), stream))
    return counts


@cache
def backend() -> tuple[str, str]:
    """Name of the backend that `count` uses by default, and why; settled by the first call.

    Arrays in host memory are counted where they are: a GPU is used only on request.

    Raises:
        InputError: `KIT_CLOUDS` names a backend that is unknown or missing.
    """
    return native.pick_backend(VARIABLE, _resolve, "reference")


def cuda_backend() -> tuple[str, str]:
    """Whether a CUDA device can count, and with what.

    Raises:
        InputError: the CUDA core is missing, or there is no device.
    """
    _resolve("cuda")
    why = f"{native.load('kit_cuda')[1]}; for arrays on the device, or by {VARIABLE}=cuda"
    return "ready", why


def _processor(name: str, library: Any) -> Any:
    """The compiled core, for what is not done on a CUDA device; None means the reference."""
    return native.load("kit_core")[0] if name == "cuda" else library


def _resolve(name: str | None) -> tuple[str, Any]:
    """A backend's name, and its library if it has one."""
    name = name or backend()[0]
    if name == "reference":
        return name, None
    if name not in _LIBRARIES:
        raise InputError("cloud backend", f"is {name!r}", remedy="choose native, cuda or reference")
    library, why = native.load(_LIBRARIES[name])
    if library is None:
        raise InputError(f"cloud backend {name}", why, remedy=native.REMEDIES[_LIBRARIES[name]])
    if name == "cuda":
        devices = ctypes.c_int()
        _check_cuda(library, library.kit_cuda_devices(devices))
    return name, library


def _count(
    library: Any,
    rgb: NDArray[np.uint16],
    qa60: NDArray[np.uint16],
    rule: CloudRule,
    threads: int | None,
    peaks: NDArray[np.int32] | None,
) -> NDArray[np.int64]:
    """By the compiled core, or by the reference if there is none; `peaks` is filled if given."""
    counts = np.empty((len(rgb), len(COLUMNS)), np.int64)
    if library is None:
        for index, row in enumerate(counts):
            row[:] = _count_scene(rgb[index], qa60[index], rule)
            if peaks is not None:
                peaks[index] = peak(rgb[index], rule.scale) if row[0] else NO_PEAK
        return counts
    rgb, qa60 = np.require(rgb, requirements="A"), np.require(qa60, requirements="A")
    scenes = native.ScenesStruct.of(rgb, qa60)
    settings = native.RuleStruct(rule.scale, rule.threshold_milli, rule.min_area, rule.dilate)
    filled = None if peaks is None else peaks.ctypes.data
    if library.kit_count(scenes, settings, threads or cores(), counts.ctypes.data, filled):
        raise MemoryError(
            f"not enough memory for the cloud masks of scenes of {rgb.shape[2:]} pixels"
        )
    return counts


def _count_cuda(
    library: Any, rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> NDArray[np.int64]:
    rgb, qa60 = np.require(rgb, requirements="A"), np.require(qa60, requirements="A")
    counts = np.empty((len(rgb), len(COLUMNS)), np.int64)
    scenes = native.ScenesStruct.of(rgb, qa60)
    limit = rule.scale, rule.threshold_milli
    _check_cuda(library, library.kit_cuda_count_host(scenes, *limit, counts.ctypes.data))
    return counts


def _check_cuda(library: Any, status: int) -> None:
    if status:
        reason = library.kit_cuda_error(status).decode()
        remedy = f"see nvidia-smi, or set {VARIABLE}=native"
        raise InputError("cloud backend cuda", f"{reason} (CUDA error {status})", remedy=remedy)


def _check(rgb: NDArray[np.uint16], qa60: NDArray[np.uint16]) -> None:
    for name, array in (("rgb", rgb), ("qa60", qa60)):
        if array.dtype != np.uint16:
            raise InputError(name, f"pixels are {array.dtype}", remedy="they must be uint16")
    _check_shapes(rgb.shape, qa60.shape)


def _check_shapes(rgb: tuple[int, ...], qa60: tuple[int, ...]) -> None:
    if len(rgb) != 4 or rgb[1] != 3 or 0 in rgb[1:]:
        raise InputError("rgb", f"its shape is {rgb}", remedy="it must be [N, 3, H, W]")
    scenes, _, height, width = rgb
    if qa60 != (scenes, height, width):
        expected = f"{(scenes, height, width)}, after rgb's {rgb}"
        raise InputError("qa60", f"its shape is {qa60}", remedy=f"it must be {expected}")
    if height * width > _MAX_PIXELS:
        raise InputError(
            "rgb",
            f"a scene has {height * width} pixels",
            remedy=f"it may have at most {_MAX_PIXELS}",
        )


def scene_masks(
    rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> dict[str, NDArray[np.bool_]]:
    """What `count` counts in one scene, the way the definition reads.

    Args:
        rgb: B4, B3, B2, [3, H, W].
        qa60: [H, W].
        rule: says what is cloud.

    Returns:
        A mask [H, W] for each of `COLUMNS`.
    """
    constant = (rgb.max(axis=(1, 2)) == rgb.min(axis=(1, 2))).any()
    valid = rgb.any(axis=0) & ~constant
    opaque = valid & (qa60 & OPAQUE != 0)
    cirrus = valid & (qa60 & CIRRUS != 0)
    cloud = valid & cloud_mask(rgb, rule)
    masks = (valid, ~valid, opaque, cirrus, opaque | cirrus, cloud)
    return dict(zip(COLUMNS, masks, strict=True))


def _count_scene(
    rgb: NDArray[np.uint16], qa60: NDArray[np.uint16], rule: CloudRule
) -> tuple[int, ...]:
    """One row of `count`."""
    masks = scene_masks(rgb, qa60, rule)
    return tuple(int(np.count_nonzero(mask)) for mask in masks.values())


def count_radar_nodata(
    sar: NDArray[np.float32], *, threads: int | None = None, backend: str | None = None
) -> NDArray[np.int64]:
    """How many pixels of N radar scenes `radar_nodata` finds.

    Args:
        sar: [N, 2, H, W] in dB.
        threads: of the compiled core; all cores if None.
        backend: "native" or "reference"; as `kit.screening.counts.backend` says when None.

    Returns:
        [N].

    Raises:
        InputError: a wrong pixel type or shape, or an unknown or missing backend.
    """
    if sar.dtype != np.float32 or sar.ndim != 4 or sar.shape[1] != 2 or 0 in sar.shape[1:]:
        raise InputError(
            "sar", f"is {sar.dtype} {sar.shape}", remedy="it must be float32 [N, 2, H, W]"
        )
    library = _processor(*_resolve(backend))
    if library is None:
        return np.array([np.count_nonzero(radar_nodata(scene)) for scene in sar], np.int64)
    sar = np.require(sar, requirements=("C", "A"))
    nodata = np.empty(len(sar), np.int64)
    pixels, threads = sar.shape[2] * sar.shape[3], threads or cores()
    library.kit_radar_missing(
        sar.ctypes.data, len(sar), pixels, BACKSCATTER_FLOOR, threads, nodata.ctypes.data
    )
    return nodata
