"""What a network sees of a pair, and what it must never see."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made import world

from kit.cloudrule import CloudRule
from kit.dataset import (
    PairDataset,
    batches,
    mean_color,
    read_pair,
    scale_optical,
    scale_radar,
    steps_per_epoch,
)
from kit.pairs import Pair, pair
from kit.screen import read_scenes, screen


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, ...]:
    world(tmp_path, places=10, dates=1)
    screen(tmp_path, tmp_path / "work", rule=CloudRule())
    rows = list(read_scenes(tmp_path / "work" / "scenes.parquet"))
    return pair(rows, window_days=7, max_cloud=0)[0]


def dataset(pairs: tuple[Pair, ...], crop: int = 32) -> PairDataset:
    return PairDataset(pairs, crop=crop, target="reflectance", seed=5)


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


def test_both_sensors_are_cropped_and_flipped_together(pairs: tuple[Pair, ...]) -> None:
    seen = set()
    for epoch in range(8):
        data = dataset(pairs)
        data.epoch = epoch
        sample = data[0]
        # Forest is bright in radar and dark in red; water is the other way round.
        dark = sample.radar[0] < sample.radar[0].mean()
        assert sample.target[0][dark].mean() > sample.target[0][~dark].mean() + 0.2
        assert sample.mask.all()
        seen.add(bool(dark[:, 0].all()))
    assert seen == {True, False}


def test_what_is_drawn_depends_on_seed_epoch_and_index_alone(pairs: tuple[Pair, ...]) -> None:
    def drawn(epoch: int, workers: int) -> torch.Tensor:
        todo = batches(dataset(pairs, crop=16), epoch=epoch, batch=3, workers=workers)
        return torch.cat([sample.radar for sample in todo])

    assert torch.equal(drawn(1, 0), drawn(1, 2))
    assert not torch.equal(drawn(1, 0), drawn(2, 0))


def test_batches_can_be_skipped_exactly(pairs: tuple[Pair, ...]) -> None:
    everything = list(batches(dataset(pairs), epoch=0, batch=3))
    rest = list(batches(dataset(pairs), epoch=0, batch=3, skip=2))
    assert len(everything) == steps_per_epoch(len(pairs), 3) == 3
    assert len(rest) == 1 and torch.equal(rest[0].target, everything[2].target)


def test_fewer_pairs_than_a_batch_still_make_one(pairs: tuple[Pair, ...]) -> None:
    assert [len(sample.radar) for sample in batches(dataset(pairs), epoch=0, batch=64)] == [10]
    assert steps_per_epoch(len(pairs), 64) == 1


def test_small_tiles_are_padded_and_the_padding_does_not_count(pairs: tuple[Pair, ...]) -> None:
    sample = dataset(pairs, crop=64)[0]
    assert sample.radar.shape == (2, 64, 64) and sample.target.shape == (3, 64, 64)
    assert sample.mask.shape == (1, 64, 64) and int(sample.mask.sum()) == 32 * 32
    assert torch.isfinite(sample.radar).all()
    assert float(sample.radar.abs().max()) <= 1 and float(sample.target.abs().max()) <= 1


def test_mean_color_is_the_mean_of_the_targets(pairs: tuple[Pair, ...]) -> None:
    images = np.stack([read_pair(pair, "reflectance")[1] for pair in pairs])
    np.testing.assert_allclose(mean_color(pairs, "reflectance"), images.mean((0, 2, 3)), rtol=1e-5)
    assert len(mean_color(pairs, "reflectance", limit=3)) == 3
