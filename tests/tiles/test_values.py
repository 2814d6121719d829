"""Counts of values: the compiled core's are those of numpy, and of what is counted by hand."""

import numpy as np
import pytest

from kit.tiles.values import VALUES, count_values
from tests.helpers.core import NATIVE, needs_core

BACKENDS = ["reference", NATIVE]


def counted(sensor: str, scene: np.ndarray, backend: str) -> dict[str, int]:
    (row,) = count_values(sensor, scene[None], backend=backend).tolist()
    return dict(zip(VALUES, row, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_radar_by_hand(backend: str) -> None:
    vv = [-12, -26, 3, -2, 0, np.nan, -np.inf, -9999]
    vh = [-12, -26, -33, -95, -96, -96, -90, 0]
    scene = np.array([[vv], [vh]], np.float32)
    assert counted("Sentinel1", scene, backend) == {
        "values": 8, "low": 3, "high": 1, "strong": 2, "far": 1, "dark": 0, "brightest": 0,
    }  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
def test_optical_by_hand(backend: str) -> None:
    red, green, blue = [0, 0, 3000, 3001, 1000], [0, 5, 3001, 3001, 999], [0, 0, 1, 1000, 2000]
    scene = np.array([[red], [green], [blue], [[9, 9, 9, 9, 65535]]], np.uint16)
    assert counted("Sentinel2", scene, backend) == {
        "values": 12, "low": 0, "high": 3, "strong": 0, "far": 0, "dark": 3, "brightest": 3001,
    }  # fmt: skip


@needs_core
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 65), (90, 100)])
def test_the_core_counts_as_numpy(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        n = int(random.integers(0, 4))
        sar = random.normal(-20, 30, (n, 2, *size))
        odd = random.choice([np.nan, np.inf, -np.inf, 0.0, -9999, -99, -90, -3], sar.shape)
        sar = np.where(random.random(sar.shape) < random.random() / 2, odd, sar).astype(np.float32)
        rgb = random.integers(0, random.choice([2, 1200, 4000, 65536]), (n, 4, *size))
        for sensor, scenes in (("Sentinel1", sar), ("Sentinel2", rgb.astype(np.uint16))):
            expected = count_values(sensor, scenes, backend="reference")
            np.testing.assert_array_equal(
                count_values(sensor, scenes, threads=2, backend="native"), expected
            )
            swapped = scenes[:, :, ::-1]
            np.testing.assert_array_equal(count_values(sensor, swapped, backend="native"), expected)
