"""Boosted trees as a generator: each channel of a pixel is a sum over trees of its features.

In: planes [B, C, H, W]. Out: RGB [B, 3, H, W]. The trees are tensors, which `kit.training` fits, so
that they are stored, predicted and packaged like the weights of a network.

They stay on the CPU, beside a card too: there the compiled core predicts, see
`kit.models.leaf_masks`, in less time than a card would take to start all that follows, and means
are rounded as they were when the trees were fitted. Without the core, and as the reference, a
pixel's features are replaced by their ranks among the thresholds of all trees, and a tree is
computed from its leaves to its root: every node takes the leaf of its left or its right child, for
all pixels at a time, in integers. That is 5 plain operations a node, 7 times as fast as following
each pixel down the tree by gathers. Both find the same, bit for bit.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from kit.models.layers.means import RADAR, BoxMeans
from kit.models.leaf_masks import LeafMasks, usable
from kit.scaling import to_signed

CHANNELS = 3
_PIXELS = 1 << 16  # at a time: the memory of a step, and in a processor's cache


@dataclass(frozen=True, slots=True)
class _Node:
    """A node that divides: pixels of at most this rank go left. Children are nodes of the tree."""

    number: int
    feature: int
    rank: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class _Tree:
    """Nodes in an order in which children come first, and the value of each leaf by its place."""

    nodes: tuple[_Node, ...]
    leaves: dict[int, int]
    values: Tensor


@dataclass(frozen=True, slots=True)
class _Plan:
    """The trees of each channel, and the thresholds of each feature that ranks are counted by."""

    thresholds: tuple[Tensor, ...]
    trees: tuple[tuple[_Tree, ...], ...]


Derived = TypeVar("Derived", _Plan, LeafMasks)


class BoostedTrees(nn.Module):
    """Predicts each channel by trees of its own; as built, it predicts black.

    The tensors are [3, trees, nodes], node 0 of a tree being its root, and a child having a higher
    number than its parent. A node without children has 0 for both, and a value.

    Standard deviations in such boxes won nothing on 43 European scenes, and statistics of the tile
    lost: with few scenes, trees learn from those which scene it is. They won 10 % where the target
    is stretched between the extremes of a tile, as a pixel is then bright or dark for its tile.

    Args:
        planes: of the input.
        boxes: sides of boxes, whose mean VV and VH around each pixel are features too.
        trees: of each channel.
        leaves: of each tree, at most.
        statistics: whether the mean and the deviation of VV and VH over the tile are too.
    """

    on_processor = True  # see kit.machine.device.place

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    base: Tensor

    def __init__(
        self,
        planes: int,
        boxes: Sequence[int],
        trees: int,
        leaves: int,
        statistics: bool = False,
    ) -> None:
        super().__init__()
        self.feature_names = _names(planes, boxes, statistics)
        self.box_means = BoxMeans(boxes)
        self.statistics = statistics
        self.leaves = leaves
        shape = (CHANNELS, trees, 2 * leaves - 1)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int16))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("base", torch.zeros(CHANNELS))
        self._known: tuple[tuple[Tensor, ...], _Plan | LeafMasks] | None = None
        self.register_load_state_dict_post_hook(_check)  # type: ignore[no-untyped-call]

    def forward(self, planes: Tensor) -> Tensor:
        """Planes [B, C, H, W] to RGB [B, 3, H, W], both in [-1, 1] and on the same device."""
        features = self.features(planes.to(self.base.device).float())
        return torch.stack([self._tile(tile) for tile in features]).to(planes.device)

    def features(self, planes: Tensor) -> Tensor:
        """Planes [B, C, H, W] to features [B, F, H, W], of which `feature_names` has the names."""
        found: Tensor = self.box_means(planes)
        if not self.statistics:
            return found
        # In float64, so that no order of summation moves a pixel across a threshold.
        radar = planes[:, :RADAR].double()
        deviation, mean = torch.std_mean(radar, dim=(2, 3), correction=0, keepdim=True)
        tile = torch.cat([mean, deviation], dim=1).to(found.dtype)
        return torch.cat([found, tile.expand(-1, -1, *found.shape[2:])], dim=1)

    def _tile(self, features: Tensor) -> Tensor:
        pixels = features.flatten(1)
        sums = self.base[:, None].repeat(1, pixels.shape[1])
        if usable(pixels, self.leaves):
            self._masks().add(pixels, sums)
        else:
            self.add_reference(pixels, sums)
        return to_signed(sums.clamp(0, 1).view(CHANNELS, *features.shape[1:]))

    def add_reference(self, features: Tensor, sums: Tensor) -> None:
        """Add what the trees find for features [F, N] to the channels [3, N], in torch."""
        plan, ranks = self._plan(), self._ranks(features)
        for at in range(0, ranks.shape[1], _PIXELS):
            part = ranks[:, at : at + _PIXELS]
            for channel, trees in zip(sums[:, at : at + _PIXELS], plan.trees, strict=True):
                for tree in trees:
                    channel += tree.values.index_select(0, _leaf(tree, part))

    def _ranks(self, features: Tensor) -> Tensor:
        """How many of its thresholds each feature of each pixel is above, [F, N]."""
        ranks = [
            torch.bucketize(feature.flatten().contiguous(), thresholds, out_int32=True).short()
            for feature, thresholds in zip(features, self._plan().thresholds, strict=True)
        ]
        return torch.stack(ranks)

    def _plan(self) -> _Plan:
        return self._derived(_Plan, lambda: _planned(self))

    def _masks(self) -> LeafMasks:
        tensors = self.feature, self.threshold, self.left, self.right, self.value
        return self._derived(LeafMasks, lambda: LeafMasks.of(*tensors))

    def _derived(self, kind: type[Derived], derive: Callable[[], Derived]) -> Derived:
        """What is computed with, derived from the tensors again when they have been replaced."""
        tensors = tuple(self.buffers())
        if self._known is not None:
            of, known = self._known
            if isinstance(known, kind) and all(map(operator.is_, of, tensors)):
                return known
        made = derive()
        self._known = tensors, made
        return made


def _check(trees: BoostedTrees, _: object) -> None:
    """Refuse loaded tensors that are no trees, which no walk down them would end or stay within.

    Raises:
        RuntimeError: a node has a child that does not come after it or is another's too, or looks
            at no feature.
    """
    left, right = trees.left.long(), trees.right.long()
    divides = left.ne(0) | right.ne(0)
    nodes = torch.arange(left.shape[-1], device=left.device).expand_as(left)
    parents = torch.zeros_like(nodes)
    for child in (left, right):
        if (divides & ((child <= nodes) | (child >= left.shape[-1]))).any():
            raise RuntimeError("a node of its trees has a child that does not come after it")
        parents.scatter_add_(-1, torch.where(divides, child, 0), divides.long())
    if (parents > 1).any():
        raise RuntimeError("a node of its trees is the child of two others")
    if (divides & ((trees.feature < 0) | (trees.feature >= len(trees.feature_names)))).any():
        raise RuntimeError("a node of its trees looks at a feature that there is not")


def _leaf(tree: _Tree, ranks: Tensor) -> Tensor:
    """The place of each pixel's leaf [N] among those of a tree, by the pixels' ranks [F, N]."""
    found: dict[int, Tensor | int] = {**tree.leaves}
    for node in tree.nodes:
        left, right = found.pop(node.left), found.pop(node.right)
        # -1, of which every bit is set, where a pixel goes right, and 0 where it goes left.
        goes_right = torch.rsub(ranks[node.feature], node.rank).bitwise_right_shift_(15)
        found[node.number] = goes_right.bitwise_and_(left ^ right).bitwise_xor_(left)
    leaf = found[0]
    return leaf.int() if isinstance(leaf, Tensor) else ranks.new_zeros(ranks.shape[1]).int()


def _names(planes: int, boxes: Sequence[int], statistics: bool) -> tuple[str, ...]:
    """A name for each feature; trees know features by their place here."""
    radar = ("VV", "VH")
    own = (*radar, *(f"plane {number}" for number in range(3, planes + 1)))
    means = (f"{plane} mean of {side}" for side in boxes for plane in radar)
    tile = (f"{plane} {what} of the tile" for what in ("mean", "deviation") for plane in radar)
    return (*own, *means, *(tile if statistics else ()))


def _planned(trees: BoostedTrees) -> _Plan:
    feature, left, right = (t.tolist() for t in (trees.feature, trees.left, trees.right))
    divides = trees.left > 0
    thresholds = tuple(
        torch.unique(trees.threshold[divides & (trees.feature == number)])
        for number in range(len(trees.feature_names))
    )
    ranks = torch.zeros_like(trees.left)
    for number, known in enumerate(thresholds):
        here = divides & (trees.feature == number)
        ranks[here] = torch.searchsorted(known, trees.threshold[here]).short()
    rank = ranks.tolist()

    def tree(c: int, t: int) -> _Tree:
        inner = [n for n, child in enumerate(left[c][t]) if child]
        children = {child for n in inner for child in (left[c][t][n], right[c][t][n])}
        ends = sorted(({0} | children).difference(inner))
        nodes = (
            _Node(n, feature[c][t][n], rank[c][t][n], left[c][t][n], right[c][t][n])
            for n in reversed(inner)
        )
        leaves = {n: place for place, n in enumerate(ends)}
        return _Tree(tuple(nodes), leaves, trees.value[c, t, ends])

    channels, count, _ = trees.left.shape
    every = tuple(tuple(tree(c, t) for t in range(count)) for c in range(channels))
    return _Plan(thresholds, every)
