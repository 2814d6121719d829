"""Optical floats are read as what they are, by every reader alike; what is neither is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.errors import InputError
from kit.tiles.bands import read_bands, read_stored, unit_of_floats
from kit.tiles.names import S2_BANDS, TileName
from kit.tiles.reader import Reader, read_scene
from kit.tiles.tiff import write_tile
from tests.helpers.tiles import key

DN = np.random.default_rng(0).integers(1, 3000, (4, 8, 8)).astype(np.uint16)
DN[3] = np.where(np.arange(8) < 4, 1 << 10, 0)
DN[:3, 0, 0] = 0


def write(folder: Path, bands: NDArray[np.generic] | list[NDArray[np.generic]]) -> list[Path]:
    return [
        write_tile(folder, TileName("Sentinel2", band, key()), pixels)
        for band, pixels in zip(S2_BANDS, bands, strict=False)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reflectance_and_dn_become_the_same_dn(tmp_path: Path, dtype: str) -> None:
    reflectance = [*(DN[:3] / 10_000), DN[3]]
    for unit, bands in (("reflectance", reflectance), ("DN", [*DN])):
        paths = write(tmp_path, [band.astype(dtype) for band in bands])
        assert unit_of_floats(paths) == unit
        np.testing.assert_array_equal(read_bands("Sentinel2", paths), DN)
        np.testing.assert_array_equal(read_scene("Sentinel2", paths), DN)
        assert read_stored("Sentinel2", paths[:3]).dtype == dtype
    (batch,), errors = Reader(1).read("Sentinel2", [paths])
    assert not errors and not batch.core
    assert unit_of_floats(write(tmp_path, DN)) is None


def test_a_fill_is_nodata_in_all_colours_and_what_is_a_little_below_zero_is_not(
    tmp_path: Path,
) -> None:
    bands = (DN[:3] / np.float32(10_000)).astype(np.float32)
    bands[0, 1, 1], bands[1, 2, 2], bands[2, 3, 3], bands[0, 4, 4] = np.nan, -9999, -np.inf, -0.002
    found = read_bands("Sentinel2", write(tmp_path, bands))
    expected = DN[:3].copy()
    expected[:, [1, 2, 3], [1, 2, 3]] = 0
    expected[0, 4, 4] = 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("bands", "problem"),
    [
        ([band / np.float32(100) for band in DN[:3]], r"B4_.*floats up to 29\.\d+: neither"),
        ([band * np.float32(100) for band in DN[:3]], "neither reflectance nor DN"),
        ([DN[0], *(DN[1:3] / np.float32(10_000))], "its colours are uint16, float32, float32"),
        ([*DN[:3], DN[3] + np.float32(0.5)], "its QA60 is floats that are not whole"),
    ],
)
def test_what_is_neither_is_refused(tmp_path: Path, bands, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_bands("Sentinel2", write(tmp_path, bands))
