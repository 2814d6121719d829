"""What a network sees of a pair, and what it must never see."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kit.errors import InputError
from kit.inputs.dataset import (
    PairDataset,
    Sample,
    batches,
    steps_per_epoch,
)
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pack import pack
from kit.pairs.pair_reader import PairReader
from kit.pairs.pairing import pair
from kit.pairs.table import Pair, write_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.scaling import radar_nodata, stretch
from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from kit.screening.table import read_screened
from kit.tiles.bands import read_bands
from kit.tiles.names import S1_BANDS, TileName
from kit.tiles.tiff import write_tile
from tests.helpers.inputs import planes
from tests.helpers.tiles import key, optical, radar, world


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, ...]:
    world(tmp_path, places=10, dates=1)
    return paired(tmp_path)


def paired(folder: Path) -> tuple[Pair, ...]:
    screen(folder, folder / "work", rule=CloudRule())
    rows = list(read_screened(folder / "work" / "scenes.parquet"))
    found = pair(rows, window_days=7, max_cloud=0)[0]
    write_pairs(folder / "work" / "pairs.parquet", found)
    return found


def dataset(
    pairs: tuple[Pair, ...],
    crop: int = 32,
    target: str = "reflectance",
    reader: PairReader | None = None,
) -> PairDataset:
    made = planes(f"target={target}", "seed=5")
    return PairDataset(made, reader or TilePairs(), pairs, crop=crop)


def plain(pair: Pair, crop: int, target: str, draw: tuple[int, int, int]) -> list[NDArray]:
    """A sample, made of whole tiles a step after the other, as the fast path must make it too."""
    sar = read_bands("Sentinel1", pair.radar_paths)
    low, high = np.array([(-25, 0), (-32.5, 0)], np.float32).T[..., None, None]
    sar = np.where(radar_nodata(sar), np.float32(0), np.clip((sar - low) / (high - low), 0, 1))
    dn = read_bands("Sentinel2", pair.optical_paths)
    rgb = np.clip(dn.astype(np.float32) / 3000, 0, 1)
    if target == "minmax":
        rgb = stretch(dn).astype(np.float32)
    random = np.random.default_rng(draw)
    starts = [int(random.integers(max(size - crop, 0) + 1)) for size in sar.shape[1:]]
    window = (slice(None), *(slice(start, start + crop) for start in starts))
    flips = tuple(axis for axis in (1, 2) if random.integers(2))
    images = [np.flip(image[window], flips) for image in (sar, rgb)]
    pad = [(0, 0), *((0, crop - size) for size in images[0].shape[1:])]
    mask = np.pad(np.ones((1, *images[0].shape[1:]), np.float32), pad)
    return [*(np.pad(image, pad, mode="reflect") * 2 - 1 for image in images), mask]


def same(one: Sample, other: Sample) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("target", ["reflectance", "minmax"])
@pytest.mark.parametrize("crop", [16, 32, 64])
def test_tiles_and_the_pack_give_what_the_plain_way_gives(
    tmp_path: Path, crop: int, target: str
) -> None:
    for place, size in enumerate((32, 40, 32, 32)):
        radar(tmp_path, key(place), size=size)
        optical(tmp_path, key(place, 1), size=size)
    pairs = paired(tmp_path)
    # Gaps and a constant band, which screening would not let pass.
    gaps, constant = (read_bands("Sentinel1", pairs[i].radar_paths) for i in (2, 3))
    gaps[0, 3, 4:9], gaps[1, 30, 2], gaps[1, 7, 7] = np.nan, 0, -np.inf
    gaps[0, 12:20, 12:20], gaps[1, 20:28, 4:12] = -9999, -99  # fills of one polarisation alone
    constant[1] = -7
    for scene, pixels in ((pairs[2].radar, gaps), (pairs[3].radar, constant)):
        for band, image in zip(S1_BANDS, pixels, strict=True):
            write_tile(tmp_path / "sent1", TileName("Sentinel1", band, scene), image)
    pack(tmp_path / "work")
    for reader in (TilePairs(), open_pairs(tmp_path / "work", pairs)):
        data = dataset(pairs, crop, target, reader)
        for epoch in range(4):
            made = data.batch(epoch, range(4))
            for index, found in enumerate(zip(*made, strict=True)):
                expected = plain(pairs[index], crop, target, (5, epoch, index))
                for image, wanted in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(image.numpy(), wanted, strict=True)


def test_a_pair_whose_tiles_have_another_size_now_is_named(pairs: tuple[Pair, ...]) -> None:
    folder = pairs[4].optical_paths[0].parents[1]
    optical(folder, pairs[4].optical, size=40)
    with pytest.raises(InputError, match=f"{pairs[4].optical_paths[0].name}: is 40x40"):
        dataset(pairs).batch(0, [3, 4])


def test_both_sensors_are_cropped_and_flipped_together(pairs: tuple[Pair, ...]) -> None:
    seen = set()
    for epoch in range(8):
        radar, target, mask = (tensor[0] for tensor in dataset(pairs).batch(epoch, [0]))
        # Forest is bright in radar and dark in red; water is the other way round.
        dark = radar[0] < radar[0].mean()
        assert target[0][dark].mean() > target[0][~dark].mean() + 0.2
        assert mask.all()
        seen.add(bool(dark[:, 0].all()))
    assert seen == {True, False}


def test_what_is_drawn_depends_on_seed_epoch_and_index_alone(pairs: tuple[Pair, ...]) -> None:
    def drawn(epoch: int, workers: int) -> list[Sample]:
        return list(batches(dataset(pairs, crop=16), epoch=epoch, batch=3, workers=workers))

    alone = drawn(1, 0)
    for workers in (1, 3):
        assert all(map(same, alone, drawn(1, workers)))
    assert not same(alone[0], drawn(2, 0)[0])
    # A pair is drawn alike wherever it stands in a batch, and whatever was drawn before.
    order = np.random.default_rng((5, 1)).permutation(len(pairs))
    data = dataset(pairs, crop=16)
    data.batch(0, range(10))
    for row, index in enumerate(order[:9]):
        single = data.batch(1, [index])
        together = Sample(*(tensor[row % 3 : row % 3 + 1] for tensor in alone[row // 3]))
        assert same(single, together)


class Named:
    """Stands in for a data set: a batch is the numbers of its pairs."""

    seed = 3

    def __init__(self, pairs: int) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return self.pairs

    def batch(self, epoch: int, indices: list[int]) -> list[int]:
        return list(indices)


@given(
    pairs=st.integers(1, 70),
    share=st.integers(1, 5),
    world=st.integers(1, 4),
    skip=st.integers(0, 3),
    workers=st.sampled_from([0, 2]),
)
def test_ranks_share_every_batch(
    pairs: int, share: int, world: int, skip: int, workers: int
) -> None:
    def taken(**options: int) -> list[list[int]]:
        return list(batches(Named(pairs), epoch=2, batch=share * world, **options))  # type: ignore[arg-type]

    everything = taken()
    ranks = [taken(skip=skip, rank=rank, world=world, workers=workers) for rank in range(world)]
    joined = [[index for part in parts for index in part] for parts in zip(*ranks, strict=True)]
    assert joined == everything[skip:]
    covered = [index for batch in everything for index in batch]
    left_out = pairs % (share * world) if pairs >= share * world else 0
    assert len(set(covered)) == len(covered) == pairs - left_out
    assert len(everything) == steps_per_epoch(pairs, share * world)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_bad_pair_is_raised_in_its_place(pairs: tuple[Pair, ...], workers: int) -> None:
    order = np.random.default_rng((5, 0)).permutation(len(pairs))
    broken = [*pairs]
    gone = Path(f"{pairs[order[5]].radar_paths[0]}.gone")
    broken[order[5]] = replace(pairs[order[5]], radar_paths=(gone, gone))
    todo = batches(dataset(tuple(broken)), epoch=0, batch=2, workers=workers)
    assert len([next(todo), next(todo)]) == 2
    with pytest.raises(InputError, match=gone.name):
        next(todo)


def test_threads_are_a_few_batches_ahead_and_end_with_the_loop(pairs: tuple[Pair, ...]) -> None:
    made = []

    class Counted(PairDataset):
        def batch(self, epoch: int, indices) -> Sample:
            made.append(indices)
            return super().batch(epoch, indices)

    data = Counted(planes("seed=5"), TilePairs(), pairs, crop=16)
    before = set(threading.enumerate())
    todo = batches(data, epoch=0, batch=1, workers=2)
    next(todo)
    deadline = time.monotonic() + 20
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 5 and 1 <= len(set(threading.enumerate()) - before) <= 2
    todo.close()
    assert set(threading.enumerate()) <= before


def test_batches_can_be_skipped_exactly(pairs: tuple[Pair, ...]) -> None:
    everything = list(batches(dataset(pairs), epoch=0, batch=3))
    rest = list(batches(dataset(pairs), epoch=0, batch=3, skip=2))
    assert len(everything) == steps_per_epoch(len(pairs), 3) == 3
    assert len(rest) == 1 and torch.equal(rest[0].target, everything[2].target)


def test_turns_make_all_positions_of_a_square_on_all_planes_together(
    pairs: tuple[Pair, ...],
) -> None:
    made = planes("seed=5", "turns=true", "date=true")
    turned = PairDataset(made, TilePairs(), pairs, crop=48)
    seen = set()
    plain = None
    for epoch in range(60):
        sample = turned.batch(epoch, [0])
        image = torch.cat([*sample], dim=1)[0]
        valid = image[:, sample.mask[0, 0].bool()].view(len(image), 32, 32)
        plain = valid if plain is None else plain
        seen.add(valid[0].numpy().tobytes())
        positions = [torch.rot90(p, k, (1, 2)) for p in (plain, plain.mT) for k in range(4)]
        assert any(torch.equal(valid, each) for each in positions)
    assert len(seen) == 8


def test_fewer_pairs_than_a_batch_still_make_one(pairs: tuple[Pair, ...]) -> None:
    assert [len(sample.inputs) for sample in batches(dataset(pairs), epoch=0, batch=64)] == [10]
    assert steps_per_epoch(len(pairs), 64) == 1


def test_small_tiles_are_padded_and_the_padding_does_not_count(pairs: tuple[Pair, ...]) -> None:
    sample = dataset(pairs, crop=64).batch(0, [0])
    assert sample.inputs.shape == (1, 2, 64, 64) and sample.target.shape == (1, 3, 64, 64)
    assert sample.mask.shape == (1, 1, 64, 64) and int(sample.mask.sum()) == 32 * 32
    assert torch.isfinite(sample.inputs).all()
    assert float(sample.inputs.abs().max()) <= 1 and float(sample.target.abs().max()) <= 1
