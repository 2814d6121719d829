"""Equalised networks compute the same, and what eight bits would lose is less."""

import copy

import pytest
import torch
from torch import Tensor, nn

from kit.models.rewrites import fuse
from kit.models.rewrites.equalise import equalised
from kit.models.rewrites.spectral_norm import fold
from tests.helpers.generators import NETWORKS, trained_like

pytestmark = pytest.mark.usefixtures("thin")


def tiles(count: int) -> Tensor:
    return torch.rand(count, 2, 32, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.numerical
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "spade-most"])
@torch.no_grad()
def test_the_function_and_the_network_that_was_given_stay_as_they_are(name: str) -> None:
    network = fuse._rewrite(fold(trained_like(name)).double())
    before = copy.deepcopy(network.state_dict())
    found = equalised(network, tiles(2).double())
    other = tiles(3).double()
    assert (found(other) - network(other)).abs().max() <= 1e-12
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    changed = any(
        not torch.equal(tensor, before[key]) for key, tensor in found.state_dict().items()
    )
    assert changed == name.startswith("spade")


@torch.no_grad()
def test_inputs_and_weights_have_the_same_range_in_each_channel() -> None:
    network = equalised(fuse._rewrite(fold(trained_like("spade"))), tiles(2))
    inputs: dict[nn.Conv2d, Tensor] = {}
    block = network.get_submodule("up_2")
    for name in ("conv_0", "conv_1", "norm_s.projection"):
        reader = block.get_submodule(name)
        reader.register_forward_pre_hook(lambda of, given: inputs.update({of: given[0]}))
    network(tiles(2))
    assert len(inputs) == 3
    for reader, given in inputs.items():
        largest, weights = given.abs().amax((0, 2, 3)), reader.weight.abs().amax((0, 2, 3))
        assert largest.max() > 0
        torch.testing.assert_close(largest, weights, rtol=1e-3, atol=1e-6)


@torch.no_grad()
def test_a_channel_that_is_never_used_is_left_alone() -> None:
    network = fuse._rewrite(fold(trained_like("spade")))
    block = network.get_submodule("up_0")
    block.conv_0.weight[:, 0] = 0
    block.norm_1.factor.weight[1] = block.norm_1.summand.weight[1] = 0
    block.norm_1.factor.bias[1] = block.norm_1.summand.bias[1] = 0
    found = equalised(network, tiles(2))
    assert all(tensor.isfinite().all() for tensor in found.state_dict().values())
    assert (found(tiles(1)) - network(tiles(1))).abs().max() < 1e-4
