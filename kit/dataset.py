"""Pairs -> tensors.

In: pairs, and the space that is learnt. Out: a sample per pair: radar [2, H, W] and target
[3, H, W], both in [-1, 1], and a mask [1, H, W] of the pixels that count. Every formula that turns
dB or DN into what a network sees is here and nowhere else.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from kit.metrics import stretch
from kit.nodata import radar_nodata
from kit.pairs import Pair
from kit.tiles import read_scene

VV_RANGE = (-25.0, 0.0)
VH_RANGE = (-32.5, 0.0)
DN_RANGE = (0.0, 3000.0)
SCALING = {"vv_db": list(VV_RANGE), "vh_db": list(VH_RANGE), "dn": list(DN_RANGE)}

# Decoded tiles are kept up to this much; small data sets are then read from disk only once.
CACHE_BYTES = 2 << 30


class Sample(NamedTuple):
    """One pair, or a batch of them with one more axis in front: all float32."""

    radar: Tensor
    target: Tensor
    mask: Tensor


def scale_radar(sar: NDArray[np.floating]) -> NDArray[np.float32]:
    """dB [2, H, W] (VV, VH) -> [0, 1] over `VV_RANGE` and `VH_RANGE`; nodata becomes 0."""
    low, high = np.array([VV_RANGE, VH_RANGE], dtype=np.float32).T[..., None, None]
    scaled = np.clip((sar - low) / (high - low), 0.0, 1.0)
    scaled[:, radar_nodata(np.asarray(sar, dtype=np.float32))] = 0.0
    result: NDArray[np.float32] = scaled.astype(np.float32, copy=False)
    return result


def scale_optical(dn: NDArray[np.uint16], target: str) -> NDArray[np.float32]:
    """DN [3, H, W] -> [0, 1]: over `DN_RANGE` for "reflectance", by own extremes for "minmax"."""
    if target == "minmax":
        return stretch(dn).astype(np.float32)
    low, high = DN_RANGE
    scaled: NDArray[np.float32] = np.clip((dn.astype(np.float32) - low) / (high - low), 0.0, 1.0)
    return scaled


def read_pair(pair: Pair, target: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read one pair as radar [2, H, W] and optical [3, H, W], both in [0, 1]."""
    radar = scale_radar(read_scene("Sentinel1", pair.radar_paths))
    return radar, scale_optical(read_scene("Sentinel2", pair.optical_paths), target)


def mean_color(pairs: Sequence[Pair], target: str, limit: int = 256) -> tuple[float, ...]:
    """The mean of red, green and blue in [0, 1] over at most `limit` pairs, spread evenly.

    The picture of this one colour is the baseline that every model must beat.
    """
    chosen = pairs[:: max(1, -(-len(pairs) // limit))]
    means = [read_pair(pair, target)[1].mean(axis=(1, 2), dtype=np.float64) for pair in chosen]
    return tuple(np.mean(means, axis=0).tolist())


class PairDataset(Dataset[Sample]):
    """Training samples: a random square of each pair, flipped at random on both sensors together.

    A tile smaller than `crop` is padded by reflection, and the mask leaves the padding out. What is
    drawn depends on (seed, epoch, index) alone, whatever the number of workers.
    """

    def __init__(self, pairs: Sequence[Pair], *, crop: int, target: str, seed: int) -> None:
        self.pairs = pairs
        self.crop = crop
        self.target = target
        self.seed = seed
        self.epoch = 0
        self._cache: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        random = np.random.default_rng((self.seed, self.epoch, index))
        radar, optical = self._read(index)
        mask = np.ones((1, *radar.shape[1:]), dtype=np.float32)
        window = [slice(None)]
        for size in radar.shape[1:]:
            start = int(random.integers(max(size - self.crop, 0) + 1))
            window.append(slice(start, start + self.crop))
        flips = tuple(axis for axis in (1, 2) if random.integers(2))
        images = [np.flip(image[tuple(window)], flips) for image in (radar, optical, mask)]
        pad = [(0, 0), *((0, self.crop - size) for size in images[0].shape[1:])]
        radar, optical = (np.pad(image, pad, mode="reflect") for image in images[:2])
        return Sample(
            torch.from_numpy(radar * 2 - 1),
            torch.from_numpy(optical * 2 - 1),
            torch.from_numpy(np.pad(images[2], pad)),
        )

    def _read(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if index in self._cache:
            return self._cache[index]
        images = read_pair(self.pairs[index], self.target)
        size = sum(image.nbytes for image in images)
        # A worker lives for one epoch, in which it meets every pair once.
        if get_worker_info() is None and self._cached_bytes + size <= CACHE_BYTES:
            self._cache[index] = images
            self._cached_bytes += size
        return images


def batches(
    dataset: PairDataset,
    *,
    epoch: int,
    batch: int,
    skip: int = 0,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Sample]:
    """The batches of one epoch in an order drawn from (seed, epoch), without the first `skip`.

    A last batch that would be smaller than the others is left out, unless it is the only one.
    """
    dataset.epoch = epoch
    order = np.random.default_rng((dataset.seed, epoch)).permutation(len(dataset)).tolist()
    count = steps_per_epoch(len(dataset), batch)
    share = slice(rank * batch // world, (rank + 1) * batch // world)
    chosen = [order[n * batch : (n + 1) * batch][share] for n in range(skip, count)]
    own = torch.Generator()  # otherwise each epoch draws from the training's
    yield from DataLoader(dataset, batch_sampler=chosen, num_workers=workers, generator=own)


def steps_per_epoch(pairs: int, batch: int) -> int:
    """How many batches `batches` makes of this many pairs."""
    return max(1, pairs // batch)
