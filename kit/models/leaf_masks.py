"""Boosted trees through the compiled core: the leaves of a tree are the bits of a mask.

In: trees as the tensors of `kit.models.trees`, and features of pixels on the CPU. Out: the sums
that the operations there find, bit for bit, in a fraction of their time, and without a barrier for
threads after each of thousands of operations, at which a busy machine keeps them waiting.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.machine.native import TreesStruct, backend_of, load

MOST_LEAVES = 64
_ALL = 2**MOST_LEAVES - 1


def backend() -> tuple[str, str]:
    """What predicts trees of at most `MOST_LEAVES` leaves on a CPU, and why."""
    return backend_of("kit_core", "reference")


def usable(features: Tensor, leaves: int) -> bool:
    """Whether the core predicts trees of so many leaves from these features."""
    by_core = features.device.type == "cpu" and features.dtype == torch.float32
    return by_core and leaves <= MOST_LEAVES and load("kit_core")[0] is not None


@dataclass(frozen=True, slots=True)
class LeafMasks:
    """The trees of all channels, those of a channel one after the other.

    Tree t has the nodes from `starts[t]` to `starts[t + 1]`, in any order: the feature that a node
    looks at, its threshold, and as bits the leaves that are left for a pixel above it. `values`
    [all trees, leaves] has what the leaves add, from left to right.
    """

    channels: int
    starts: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    kept: NDArray[np.uint64]
    values: NDArray[np.float32]

    @classmethod
    def of(
        cls, feature: Tensor, threshold: Tensor, left: Tensor, right: Tensor, value: Tensor
    ) -> "LeafMasks":
        """Those of tensors [channels, trees, nodes] on the CPU, as `kit.models.trees` has them."""
        channels, trees, nodes = left.shape
        flat = [each.reshape(-1, nodes).tolist() for each in (left, right)]
        starts, inner, kept = [0], list[int](), list[int]()
        leaves = (nodes + 1) // 2
        values = np.zeros((channels * trees, leaves), np.float32)
        all_values = value.reshape(-1, nodes).numpy()
        for tree, (lefts, rights) in enumerate(zip(*flat, strict=True)):
            ends = list[int]()
            for node, mask in _divide(lefts, rights, 0, ends):
                inner.append(tree * nodes + node)
                kept.append(mask)
            values[tree, : len(ends)] = all_values[tree, ends]
            starts.append(len(inner))
        chosen = torch.tensor(inner, dtype=torch.int64)
        return cls(
            channels,
            np.array(starts, np.int32),
            feature.flatten()[chosen].int().numpy(),
            threshold.flatten()[chosen].numpy(),
            np.array(kept, np.uint64),
            values,
        )

    def add(self, features: Tensor, sums: Tensor) -> None:
        """Add what all trees of a channel find to its row of `sums`, in their order.

        Args:
            features: [F, N] float32, on the CPU.
            sums: [channels, N] float32, packed.

        Raises:
            MemoryError: there is no room for a block of pixels.
        """
        core = load("kit_core")[0]
        assert core is not None and sums.is_contiguous()
        features = features.contiguous()
        trees = TreesStruct.of(self.channels, self.values, self.starts, self.feature,
                               self.threshold, self.kept)  # fmt: skip
        count, pixels = features.shape
        threads = torch.get_num_threads()
        if not core.kit_add_trees(
            ctypes.byref(trees), features.data_ptr(), count, pixels, threads, sums.data_ptr()
        ):
            raise MemoryError(f"not enough memory for the trees of {pixels} pixels")


def _divide(
    left: list[int], right: list[int], node: int, ends: list[int]
) -> Iterator[tuple[int, int]]:
    """The nodes below one that divide, each with its mask; `ends` gets the leaves below it."""
    if not left[node]:
        ends.append(node)
        return
    first = len(ends)
    yield from _divide(left, right, left[node], ends)
    below = (1 << len(ends)) - (1 << first)
    yield from _divide(left, right, right[node], ends)
    yield node, _ALL & ~below
