"""ext/clouds.cu on a processor, by a stand-in for CUDA's runtime, against the numpy reference.

A thread of the processor is a thread of a block; a sanitiser watches the arithmetic. Without a card
this is as near as the kernel's own source can be run.
"""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.machine import native
from kit.screening import counts as clouds
from kit.screening.rule import CloudRule
from tests.screening.test_counts_cuda import RULES, images

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("g++")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="no g++ to compile ext/clouds.cu with"),
]
# One pixel, an odd width, a full 128-bit load, several scenes, more than a block's piece.
SHAPES = [(1, 1, 1), (3, 1, 7), (2, 5, 8), (4, 9, 33), (1, 130, 131)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The core compiled for a processor, its launches calls of the stand-in's."""
    folder, sources = tmp_path_factory.mktemp("emulated"), ROOT / "ext"
    text = (sources / "clouds.cu").read_text(encoding="utf-8")
    launch = r"(\w+)<<<(\w+), (\w+), 0, \w+>>>\(([^;]*)\);"
    text, launches = re.subn(launch, r"stand_in_launch(\2, \3, [&] { \1(\4); });", text)
    assert launches == 3
    source, compiled = folder / "clouds.cpp", folder / "libclouds.so"
    source.write_text(text, encoding="utf-8")
    command = [
        COMPILER, "-std=c++20", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-shared",
        "-fPIC", "-pthread", "-fsanitize=undefined", "-fno-sanitize-recover=undefined",
        f"-I{ROOT / 'tests/helpers/cuda'}", f"-I{sources}", str(source), "-o", str(compiled),
    ]  # fmt: skip
    subprocess.run(command, check=True)  # type: ignore[arg-type]
    made = ctypes.CDLL(str(compiled))
    for function, (result, arguments) in native._SIGNATURES["kit_cuda"].items():
        getattr(made, function).restype = result
        getattr(made, function).argtypes = arguments
    return made


def on_device(library: Any, rgb: np.ndarray, qa60: np.ndarray, rule: CloudRule) -> np.ndarray:
    """By the function for scenes in device memory, of any strides."""
    counts = np.full((len(rgb), len(clouds.COLUMNS)), -1, np.int64)
    scenes = native.ScenesStruct.of(rgb, qa60)
    limit = rule.scale, rule.threshold_milli
    assert library.kit_cuda_count(scenes, *limit, counts.ctypes.data, None) == 0
    return counts


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_counts_like_the_reference(library, shape, rule) -> None:
    stacks = images(shape)
    if shape == SHAPES[-1]:
        stacks = stacks[-2:]  # the largest takes most of the time
    for stack in stacks:
        rgb, qa60 = stack[:, :3], stack[:, 3]
        expected = clouds.count(rgb, qa60, rule, backend="reference")
        np.testing.assert_array_equal(on_device(library, rgb, qa60, rule), expected)


def test_any_strides_count_like_their_copies(library) -> None:
    stack = np.random.default_rng(0).integers(0, 6000, (3, 4, 20, 40), np.uint16)
    views = (
        stack[:, :, 3:, 8:], stack[:, :, :, 1:], stack[..., :29], stack[::2, :, ::3, 1::2],
        stack.swapaxes(2, 3), stack[::-1, :, ::2, ::-1],
    )  # fmt: skip
    for view in views:
        rgb, qa60 = view[:, :3], view[:, 3]
        expected = clouds.count(rgb, qa60, CloudRule(), backend="reference")
        np.testing.assert_array_equal(on_device(library, rgb, qa60, CloudRule()), expected)
        np.testing.assert_array_equal(
            clouds._count_cuda(library, rgb, qa60, CloudRule()), expected, "through host memory"
        )


def test_a_mistake_in_the_kernel_would_be_found(library) -> None:
    """The comparison is not blind: another rule gives other counts."""
    stack = images((4, 9, 33))[0]
    rgb, qa60 = stack[:, :3], stack[:, 3]
    expected = clouds.count(rgb, qa60, CloudRule(), backend="reference")
    assert (on_device(library, rgb, qa60, CloudRule(threshold=-1.0)) != expected).any()
