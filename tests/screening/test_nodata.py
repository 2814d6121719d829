"""Radar without a measurement, by mask and by count."""

import numpy as np
import pytest

from kit.errors import InputError
from kit.scaling import radar_nodata
from kit.screening.counts import count_radar_nodata
from tests.helpers.core import NATIVE

BACKENDS = ["reference", NATIVE]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-10, 1, shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_count_is_that_of_the_mask(backend: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(300):
        n, h, w = random.integers([0, 1, 1], [4, 9, 9])
        sar = noise(n, 2, h, w)
        values = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -10.0, -90.0, -90.1, -99.0]
        odd = random.choice(values, sar.shape)
        sar = np.where(random.random(sar.shape) < random.random(), odd, sar).astype(np.float32)
        expected = [radar_nodata(scene).sum() for scene in sar]
        assert count_radar_nodata(sar, backend=backend).tolist() == expected
        assert count_radar_nodata(sar[:, :, ::-1], backend=backend).tolist() == expected


@pytest.mark.parametrize(
    "sar", [noise(2, 4, 4), noise(1, 3, 4, 4), noise(1, 2, 4, 4).astype(float)]
)
def test_other_arrays_are_refused(sar: np.ndarray) -> None:
    with pytest.raises(InputError, match="sar"):
        count_radar_nodata(sar)
