"""Pairs -> tensors.

In: pairs, a reader of their pixels, and the planes of a variant. Out: batches of samples: inputs
[B, C, H, W] and target [B, 3, H, W], both in [-1, 1], and a mask [B, 1, H, W] of the pixels that
count.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.inputs.planes import InputPlanes
from kit.machine.device import pick
from kit.machine.lookahead import map_ahead
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import Pair
from kit.scaling import radar_nodata, scale_optical, scale_radar, to_signed, unmeasured

_AHEAD = 2  # batches, for each thread that makes them
_HIDDEN = 0.25  # the share of samples whose prior is hidden
_UNKNOWN, _MEASURED, _GAPS, _EMPTY = range(4)  # what is known of a radar scene's nodata


class Sample(NamedTuple):
    """A batch of B pairs, all float32."""

    inputs: Tensor
    target: Tensor
    mask: Tensor


class PairDataset:
    """Training samples: a random square of each pair, flipped at random on both sensors together.

    A tile smaller than `crop` is padded by reflection, and the mask leaves the padding out. Crops
    and flips depend on (seed, epoch, index) alone. Any number of threads may read at a time.
    """

    def __init__(
        self, planes: InputPlanes, reader: PairReader, pairs: Sequence[Pair], *, crop: int
    ) -> None:
        self.planes = planes
        self.reader = reader
        self.pairs = pairs
        self.crop = crop
        self.target = planes.variant.target
        self.seed = planes.variant.seed
        # What a crop does not show of its tile; determined once for each, since that takes as long
        # as the scaling.
        self._nodata = np.full(len(pairs), _UNKNOWN, np.uint8)
        self._extremes = np.empty((len(pairs) if self.target == "minmax" else 0, 2, 3), np.uint16)

    def __len__(self) -> int:
        return len(self.pairs)

    def hides_prior(self, epoch: int, index: int) -> bool:
        """Whether a sample is given as if its place had no prior, as places to predict may not."""
        if not self.planes.variant.prior:
            return False
        return bool(np.random.default_rng((self.seed, epoch, index, 1)).random() < _HIDDEN)

    def batch(self, epoch: int, indices: Sequence[int]) -> Sample:
        """The samples of these pairs in one epoch.

        Raises:
            InputError: `reader` cannot give the pixels of a pair.
        """
        pinned = pick().type == "cuda"
        shape = (len(indices), self.crop, self.crop)
        made = Sample(
            *(
                torch.empty(shape[0], channels, *shape[1:], pin_memory=pinned)
                for channels in (self.planes.variant.input_channels, 3, 1)
            )
        )
        inputs, target, mask = (tensor.numpy() for tensor in made)
        for row, index in enumerate(indices):
            self._fill(epoch, index, inputs[row], target[row], mask[row])
        return made

    def _fill(
        self,
        epoch: int,
        index: int,
        inputs: NDArray[np.float32],
        target: NDArray[np.float32],
        mask: NDArray[np.float32],
    ) -> None:
        """Write a sample: inputs [C, crop, crop], target [3, crop, crop], mask [1, crop, crop]."""
        pair = self.pairs[index]
        random = np.random.default_rng((self.seed, epoch, index))
        window = [slice(None)]
        for size in (pair.height, pair.width):
            start = int(random.integers(max(size - self.crop, 0) + 1))
            window.append(slice(start, start + self.crop))
        flips = tuple(axis for axis in (1, 2) if random.integers(2))
        with self.reader.pixels(pair) as (own, dn):
            sar, _ = self.planes.radar(pair.radar, own)
            self._inspect(index, sar, dn)
            cropped = sar[tuple(window)]
            scaled = scale_radar(cropped, self._nodata_of(index, cropped))
            extremes = self._extremes[index] if self.target == "minmax" else None
            rgb = scale_optical(dn[tuple(window)], self.target, extremes)
        shape, hidden = (pair.height, pair.width), self.hides_prior(epoch, index)
        beside = self.planes.beside(pair.radar, shape, pair.optical, hidden)
        if beside is not None:
            scaled = np.concatenate([scaled, beside[tuple(window)]])
        _place(inputs, scaled, flips)
        _place(target, rgb, flips)
        mask[:] = 0
        mask[:, : rgb.shape[1], : rgb.shape[2]] = 1
        # With the flips, a transposition half of the time makes all eight positions of a square.
        if self.planes.variant.turns and random.integers(2):
            for made in (inputs, target, mask):
                made[:] = made.transpose(0, 2, 1).copy()

    def _inspect(self, index: int, sar: NDArray[np.float32], dn: NDArray[np.uint16]) -> None:
        """Note what only the complete tile shows, the first time that it is read."""
        if self._nodata[index] == _UNKNOWN:
            if self.target == "minmax":
                self._extremes[index] = dn.min(axis=(1, 2)), dn.max(axis=(1, 2))
            missing = radar_nodata(sar)
            known = _EMPTY if missing.all() else _GAPS if missing.any() else _MEASURED
            self._nodata[index] = known  # last: other threads read it to know that all is known

    def _nodata_of(self, index: int, cropped: NDArray[np.float32]) -> NDArray[np.bool_]:
        """What `radar_nodata` finds in the crop of its scene, [H, W] or [1, 1]."""
        known = self._nodata[index]
        if known == _GAPS:
            return unmeasured(cropped)  # no polarisation of the scene is constant
        return np.full((1, 1), known == _EMPTY)


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
    """The batches of one epoch in an order that (seed, epoch) decides, without the first `skip`.

    A last batch that would be smaller than the others is left out, unless it is the only one.

    Args:
        dataset: the samples.
        epoch: decides the order, crops and flips.
        batch: pairs in a batch, those of all ranks together.
        skip: how many batches to leave out at the start.
        workers: threads that make a few batches ahead; 0 makes each when it is asked for.
        rank: which of `world` processes this is. Each gets its slice of every batch; where the only
            batch has fewer pairs than there are processes, some get none of it.
        world: how many processes share each batch.

    Raises:
        InputError: a pair cannot be read; in the place of the batch that it belongs to.
    """
    order = epoch_order(len(dataset), dataset.seed, epoch)
    slices = []
    for number in range(skip, steps_per_epoch(len(order), batch)):
        every = order[number * batch : (number + 1) * batch]
        mine = slice(rank * len(every) // world, (rank + 1) * len(every) // world)
        slices.append(every[mine])
    if not workers:
        for indices in slices:
            yield dataset.batch(epoch, indices)
        return
    make = partial(dataset.batch, epoch)
    yield from map_ahead(make, slices, threads=workers, depth=workers * _AHEAD, name="batches")


def epoch_order(pairs: int, seed: int, epoch: int) -> list[int]:
    """The indices of all pairs in the order of an epoch."""
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(pairs).tolist()
    return order


def steps_per_epoch(pairs: int, batch: int) -> int:
    """How many batches `batches` makes of this many pairs."""
    return max(1, pairs // batch)


def _place(out: NDArray[np.float32], image: NDArray[np.float32], flips: tuple[int, ...]) -> None:
    """Scale an image in [0, 1] to [-1, 1] and copy it into `out`; reflect what it lacks."""
    height, width = image.shape[1:]
    inner = out[:, :height, :width]
    inner[:] = np.flip(to_signed(image), flips)
    if inner.shape != out.shape:
        pad = [(0, 0), (0, out.shape[1] - height), (0, out.shape[2] - width)]
        out[:] = np.pad(inner, pad, mode="reflect")
