"""dB and DN become what networks see, and images integers; the server's stretch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.scaling import (
    UINT16_MAX,
    from_signed,
    quantize,
    radar_nodata,
    scale_optical,
    scale_radar,
    stretch,
    to_signed,
    unmeasured,
)
from tests.helpers.server import stretched_by_hand


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-10, 1, shape).astype(np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -99.0, -9999.0])
def test_radar_nodata_is_where_either_polarisation_has_no_measurement(value: float) -> None:
    sar = noise(2, 4, 4)
    sar[1, 2, 3] = value
    missing = radar_nodata(sar)
    assert missing[2, 3] and missing.sum() == 1
    np.testing.assert_array_equal(unmeasured(sar), missing)


def test_a_constant_polarisation_is_all_nodata() -> None:
    sar = noise(2, 4, 4)
    sar[0] = -12.0
    assert radar_nodata(sar).all() and not unmeasured(sar).any()


def test_radar_is_scaled_by_fixed_ranges() -> None:
    sar = np.array([[[-25, 0, -12.5, 3]], [[-32.5, 0, -16.25, -40]]], np.float32)
    expected = [[[0, 1, 0.5, 1]], [[0, 1, 0.5, 0]]]
    np.testing.assert_allclose(scale_radar(sar * 0.999999 - 1e-6), expected, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_radar_nodata_becomes_the_lowest_value_in_both(value: float) -> None:
    sar = np.full((2, 2, 2), -5, np.float32)
    sar[0, 0, 0] = value
    sar[1] += [[0, 1], [2, 3]]
    sar[0, 1, 1] -= 1
    scaled = scale_radar(sar)
    assert np.isfinite(scaled).all()
    assert (scaled[:, 0, 0] == 0).all() and (scaled[:, 1] > 0).all()


def test_optical_targets() -> None:
    dn = np.array([[[0, 1500], [3000, 9000]]] * 3, np.uint16)
    np.testing.assert_allclose(scale_optical(dn, "reflectance")[0], [[0, 0.5], [1, 1]])
    np.testing.assert_allclose(scale_optical(dn, "minmax")[0], [[0, 1 / 6], [1 / 3, 1]])


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    gain=st.floats(0.01, 1000),
    offset=st.floats(-1000, 1000),
    dtype=st.sampled_from(["float64", "uint16"]),
)
def test_stretch_knows_no_scale(seed: int, gain: float, offset: float, dtype: str) -> None:
    image = (np.random.default_rng(seed).random((3, 5, 7)) * 65535).astype(dtype)
    found = stretch(image)
    np.testing.assert_allclose(found, stretched_by_hand(image), atol=1e-12)
    np.testing.assert_allclose(stretch(image * gain + offset), found, atol=1e-6)
    assert found.min() == 0 and found.max() == 1


def test_stretch_makes_a_constant_channel_zero_and_leaves_its_input_alone() -> None:
    image = np.random.default_rng(4).random((3, 16, 16))
    image[1] = 0.7
    before = image.copy()
    assert not stretch(image)[1].any()
    np.testing.assert_array_equal(image, before)


def test_networks_see_minus_one_to_one() -> None:
    image = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 2, 2)
    before = image.copy()
    signed = to_signed(image)
    assert (signed.min(), signed.max(), signed.dtype) == (-1, 1, np.float32)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(from_signed(signed), image, atol=1e-7)
    assert torch.equal(to_signed(torch.from_numpy(image)), torch.from_numpy(signed))
    wild = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0])
    assert from_signed(wild).tolist() == [0, 0, 0.5, 1, 1]


def test_integers_are_the_nearest_levels() -> None:
    levels = np.arange(UINT16_MAX + 1, dtype=np.uint16)
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(quantize(levels.astype(dtype) / dtype(UINT16_MAX)), levels)
    between = np.array([0, 0.4, 0.6, UINT16_MAX]) / UINT16_MAX
    assert quantize(between).tolist() == [
        0,
        0,
        1,
        65535,
    ]
