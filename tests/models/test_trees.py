"""Boosted trees as tensors, beside a plain walk down each of them."""

from math import inf, nan

import pytest
import torch
from torch import Tensor

from kit.machine import device
from kit.models import leaf_masks
from kit.models import trees as module
from kit.models.leaf_masks import LeafMasks
from kit.models.trees import BoostedTrees

PLANES, BOXES = 3, (3, 31)


def grown(trees: int = 4, leaves: int = 6) -> BoostedTrees:
    """Trees that divide at random, of any number of leaves, one of them a root alone."""
    made = BoostedTrees(PLANES, BOXES, trees, leaves)
    for c in range(3):
        for t in range(trees):
            ends, number = [0], 0
            for _ in range(0 if t == 1 else int(torch.randint(1, leaves, ()))):
                node = ends.pop(int(torch.randint(len(ends), ())))
                made.left[c, t, node], made.right[c, t, node] = number + 1, number + 2
                made.feature[c, t, node] = int(torch.randint(len(made.feature_names), ()))
                made.threshold[c, t, node] = torch.rand(()) - 0.5
                ends += [number + 1, number + 2]
                number += 2
            made.value[c, t, ends] = torch.rand(len(ends)) * 0.2 - 0.1
    made.base.copy_(torch.rand(3))
    return made


def walked(made: BoostedTrees, planes: Tensor) -> Tensor:
    """What each pixel finds that goes down each tree by itself."""
    features = made.features(planes[None])[0].flatten(1)
    out = made.base[:, None].repeat(1, features.shape[1])
    for c in range(3):
        for t in range(made.left.shape[1]):
            for pixel in range(features.shape[1]):
                node = 0
                while made.left[c, t, node]:
                    right = features[made.feature[c, t, node], pixel] > made.threshold[c, t, node]
                    node = int((made.right if right else made.left)[c, t, node])
                out[c, pixel] += made.value[c, t, node]
    return out.clamp(0, 1).view(3, *planes.shape[1:]) * 2 - 1


class Elsewhere:
    """Stands in for planes on a card."""

    device = torch.device("meta")

    def __init__(self, planes: Tensor) -> None:
        self.planes = planes

    def to(self, device: torch.device) -> Tensor:
        assert device == torch.device("cpu")
        return self.planes


def test_on_a_card_the_processor_predicts_as_it_has_learnt(monkeypatch) -> None:
    """The compiled core is for processors, and features averaged on a card round otherwise."""
    monkeypatch.setattr(device, "pick", lambda: Elsewhere.device)
    made, seen = grown(), []
    for trees in (device.place(made), device.place_copy(made)):
        assert {buffer.device.type for buffer in trees.buffers()} == {"cpu"}
        monkeypatch.setattr(module, "usable", lambda features, leaves: seen.append(features))
        assert trees(Elsewhere(torch.rand(2, 3, 7, 9))).device == Elsewhere.device
    assert {features.device.type for features in seen} == {"cpu"}


@pytest.mark.parametrize("by_core", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 9)])
def test_trees_predict_what_a_walk_down_each_finds(
    size: tuple[int, int], by_core: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIXELS", 10)  # so that a tile is several parts
    monkeypatch.setattr(module, "usable", lambda features, leaves: by_core)
    made = grown()
    planes = torch.rand(2, 3, *size) * 2 - 1
    expected = torch.stack([walked(made, tile) for tile in planes])
    assert torch.allclose(made(planes), expected, atol=1e-6)


@pytest.mark.parametrize("leaves", [2, 31, 32, 33, 64])
@pytest.mark.parametrize("pixels", [1, 255, 700])
def test_the_core_adds_what_the_operations_add(leaves: int, pixels: int) -> None:
    made = grown(trees=5, leaves=leaves)
    features = torch.rand(len(made.feature_names), pixels) - 0.5
    features[0, 0], features[1, -1], features[2, pixels // 2] = torch.tensor([nan, inf, -inf])
    if not leaf_masks.usable(features, leaves):
        pytest.skip(f"no compiled core: {leaf_masks.backend()}")
    sums, expected = (made.base[:, None].repeat(1, pixels) for _ in range(2))
    made.add_reference(features, expected)
    LeafMasks.of(made.feature, made.threshold, made.left, made.right, made.value).add(
        features, sums
    )
    assert torch.equal(sums, expected)


def test_more_leaves_than_the_core_has_bits_are_predicted_by_operations() -> None:
    made = grown(leaves=65)
    assert not leaf_masks.usable(torch.rand(2, 2), 65)
    planes = torch.rand(1, 3, 4, 5)
    assert torch.allclose(made(planes)[0], walked(made, planes[0]), atol=1e-6)


def test_a_kit_without_the_core_predicts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made, planes = grown(), torch.rand(2, 3, 9, 8)
    if not leaf_masks.usable(torch.rand(2, 2), 31):
        pytest.skip(f"no compiled core: {leaf_masks.backend()}")
    by_core = made(planes)
    monkeypatch.setattr(module, "usable", lambda features, leaves: False)
    assert torch.equal(made(planes), by_core)


@pytest.mark.parametrize(
    ("tensor", "value", "problem"),
    [
        ("left", 0, "does not come after it"),
        ("right", 3, "does not come after it"),
        ("right", 1, "the child of two others"),
        ("feature", 8, "a feature that there is not"),
        ("feature", -1, "a feature that there is not"),
    ],
)
def test_what_is_no_tree_is_refused(tensor: str, value: int, problem: str) -> None:
    made = BoostedTrees(2, (3, 5, 7), 1, 2)
    state = {name: each.clone() for name, each in made.state_dict().items()}
    state["left"][:, 0, 0], state["right"][:, 0, 0] = 1, 2
    made.load_state_dict(state)
    state[tensor][0, 0, 0] = value
    with pytest.raises(RuntimeError, match=problem):
        made.load_state_dict(state)


def test_a_pixel_at_a_threshold_goes_left() -> None:
    made = BoostedTrees(2, (), 1, 2)
    made.left[:, 0, 0], made.right[:, 0, 0] = 1, 2
    made.threshold[:, 0, 0] = 0.1
    made.value[:, 0, 1:] = torch.tensor([0.25, 0.75])
    vv = torch.tensor([0.1, 0.10001, -0.1]).expand(1, 2, 1, 3)
    assert made(vv)[0, 0, 0].tolist() == [-0.5, 0.5, -0.5]


def test_replaced_tensors_are_noticed() -> None:
    made, other = grown(), grown()
    planes = torch.rand(1, 3, 8, 8)
    before, expected = made(planes), other(planes)
    assert not torch.equal(before, expected)
    made.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(made(planes), expected)


def test_features_are_what_their_names_say() -> None:
    made = grown()
    planes = torch.rand(1, 3, 6, 5)
    found = dict(zip(made.feature_names, made.features(planes)[0], strict=True))
    assert torch.equal(found["VH"], planes[0, 1]) and torch.equal(found["plane 3"], planes[0, 2])
    assert torch.isclose(found["VV mean of 3"][2, 2], planes[0, 0, 1:4, 1:4].mean())
    assert torch.allclose(found["VH mean of 31"], planes[0, 1].mean())


def test_statistics_are_those_of_each_tile() -> None:
    made = BoostedTrees(3, (3,), 1, 2, statistics=True)
    planes = torch.rand(2, 3, 6, 5)
    for tile, found in zip(planes, made.features(planes), strict=True):
        named = dict(zip(made.feature_names, found, strict=True))
        assert torch.allclose(named["VH mean of the tile"], tile[1].mean())
        assert torch.allclose(named["VV deviation of the tile"], tile[0].std(correction=0))
    assert len(made.feature_names) == made.features(planes).shape[1]
