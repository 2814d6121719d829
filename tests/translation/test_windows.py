"""Windows cover an axis, and their weights add up to 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.translation.windows import Windows


@given(st.integers(1, 400), st.integers(1, 64), st.floats(0, 0.5))
def test_windows_cover_every_pixel_once_in_all(length: int, size: int, share: float) -> None:
    windows = Windows(length, size, int(size * share))
    total = np.zeros(length)
    for start, weights in zip(windows.starts, windows.weights, strict=True):
        assert len(weights) == windows.size and start + windows.size <= length
        total[start : start + windows.size] += weights
    np.testing.assert_allclose(total, 1, atol=1e-5)
    pairs = zip(windows.starts, windows.starts[1:], strict=False)
    assert all(following - start <= windows.size - windows.overlap for start, following in pairs)


def test_the_middle_of_a_window_is_its_own() -> None:
    windows = Windows(100, 40, 10)
    assert windows.starts == (0, 30, 60)
    assert (windows.weights[1, 10:30] == 1).all()
    np.testing.assert_allclose(windows.weights[0, 30:] + windows.weights[1, :10], 1)


def test_a_window_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="--overlap 21"):
        Windows(100, 40, 21)
