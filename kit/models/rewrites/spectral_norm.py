"""Spectral norms folded into the weights that they divide.

In: a network. Out: the same network without them, or the tensors that it would have, and back. In
evaluation its outputs stay the same, bit for bit when folded, to rounding when unfolded.
"""

from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kit.models.layers.spectral_norm import SpectralNorm, divide

# From random directions, after which u and v hardly change.
_ITERATIONS = 15

N = TypeVar("N", bound=nn.Module)


def fold(network: N) -> N:
    """Replace every spectral norm of `network` by the weight that it gives in evaluation."""
    for _, module, norms in normed(network):
        # In training, reading the weight would update the norm's estimate by one iteration.
        norms.eval()
        # On the meta device a weight is its shape, divided or not.
        divide = not next(norms.parameters()).is_meta
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=divide)
    return network


@torch.no_grad()
def folded_state(network: nn.Module, ahead: bool = False) -> dict[str, Tensor]:
    """The tensors by the names that they have in the network once folded; it is not changed.

    A weight with a spectral norm is a new tensor; the others are the network's own.

    Args:
        network: with or without spectral norms.
        ahead: give the weights as the next step of training will read them, one iteration further.
            A norm by the published rule has no other estimate before the first step.
    """
    tensors = {k: t for k, t in network.state_dict().items() if ".parametrizations." not in k}
    norms = nn.ModuleList(each for _, _, each in normed(network))
    training = [each.training for each in norms]
    before = [(buffer, buffer.clone()) for buffer in norms.buffers()] if ahead else []
    norms.train(ahead)
    tensors |= {f"{name}.weight": weight for name, weight in read_weights(network).items()}
    for each, was in zip(norms, training, strict=True):
        each.train(was)
    for buffer, value in before:
        buffer.copy_(value)
    return tensors


def read_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights that have a spectral norm, by the name of their module, read all together.

    They are equal to what reading one after the other gives, and in training as far ahead.
    """
    found = normed(network)
    ours = [norms for _, _, norms in found if isinstance(norms[0], SpectralNorm)]
    own = [cast(SpectralNorm, norms[0]) for norms in ours]
    try:
        for norm, divided in zip(own, divide(own, [each.original for each in ours]), strict=True):
            norm.divided = divided
        return {name: cast(Tensor, module.weight) for name, module, _ in found}
    finally:
        for norm in own:
            norm.divided = None


@torch.no_grad()
def unfolded_state(network: nn.Module, folded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names in `network`, whose spectral norms are to divide by 1.

    u and v are as good as training leaves them, but v is scaled for that; the next step of training
    gives it unit length again.

    Args:
        network: with spectral norms.
        folded: the tensors of such a network once folded; they stay as they are.
    """
    state = dict(folded)
    for name, _, _ in normed(network):
        weight = state.pop(f"{name}.weight")
        norm = SpectralNorm(weight).train()
        for _ in range(_ITERATIONS):
            norm(weight)
        sigma = torch.dot(norm._u, torch.mv(weight.flatten(1), norm._v))
        under = f"{name}.parametrizations.weight"
        state |= {f"{under}.original": weight, f"{under}.0._u": norm._u}
        state[f"{under}.0._v"] = norm._v / sigma
    return state


def normed(network: nn.Module) -> list[tuple[str, nn.Module, parametrize.ParametrizationList]]:
    """The modules whose weight has a spectral norm, by name, and those norms."""
    return [
        (name, module, cast(parametrize.ParametrizationList, module.parametrizations["weight"]))
        for name, module in network.named_modules()
        if parametrize.is_parametrized(module, "weight")
    ]
