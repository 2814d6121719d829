"""How much an engine changes the MAE: measured, bounded or unknown."""

import math

import numpy as np
import pytest

from kit.engines.accuracy import ANY, Samples, compare


def images(tiles: int, seed: int, low: float, high: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.choice([low, high], (tiles, 3, 32, 32)).astype(np.float32)


def samples(truth: np.ndarray | None, tiles: int, known: float | None = None) -> Samples:
    inputs = np.zeros((tiles, 2, 32, 32), np.float32)
    return Samples(inputs, truth, lambda: inputs, known, "some tiles")


@pytest.mark.parametrize(("tiles", "bounded"), [(1, True), (3, True), (4, False), (16, False)])
def test_on_few_tiles_errors_that_cancel_are_no_proof(tiles: int, bounded: bool) -> None:
    truth = images(tiles, 0, 0.3, 0.5)
    expected = truth + images(tiles, 1, -0.03, 0.03)
    found = compare(samples(truth, tiles), expected, expected + images(tiles, 2, -0.015, 0.015))
    assert found.mae_eager == pytest.approx(0.03, rel=0.01) and found.mae is not None
    if bounded:
        assert found.change == pytest.approx(0.5, rel=0.01) and not found.passes(0.005)
        assert f"MAE changed by at most 50.00 % ({tiles} tiles)" in str(found)
    else:
        assert found.change == abs(found.mae - found.mae_eager) / found.mae_eager < 0.03
        assert "at most" not in str(found)


def test_an_unknown_change_passes_only_where_nothing_is_asked() -> None:
    expected = images(2, 0, 0.3, 0.5)
    found = compare(samples(None, 2), expected, expected + 0.001)
    assert found.change is None and "its change is unknown" in str(found)
    assert not found.passes(0.99) and found.passes(ANY) and found.passes(math.inf)
    for truth in (None, expected + 0.1):
        broken = compare(samples(truth, 2), expected, expected * np.float32("nan"))
        assert not broken.passes(math.inf)


def test_without_truths_the_known_mae_bounds_the_change() -> None:
    expected = images(2, 0, 0.3, 0.5)
    found = compare(samples(None, 2, known=0.05), expected, expected + 0.001)
    assert found.change == pytest.approx(0.02, rel=0.001) and found.passes(0.03)
