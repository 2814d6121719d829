"""The exponential moving average (EMA) of a generator's weights, and its batch norm statistics.

In: a generator after each step. Out: a generator with the average of its weights; it scores better
than the latest weights, which are noisy. Spectral norms are folded in before averaging: the average
of weights of norm one has a smaller norm, and dividing by that would undo it.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kit.machine.device import place
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import fold, folded_state
from kit.variants.settings import Variant

RECALIBRATION_BATCHES = 16


class MovingAverage:
    """Exponential moving average of the weights of one generator.

    Early on it decays faster, so that it soon forgets the initial weights: after t steps its decay
    is (1 + t) / (10 + t), at most `decay`. It has no running statistics.

    Args:
        generator: before its first step.
        decay: the largest.
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.decay = decay
        buffers = dict(generator.named_buffers())
        weights = folded_state(generator, ahead=True)
        self.tensors = {n: weights[n].detach().clone() for n in weights if n not in buffers}

    @torch.no_grad()
    def update(self, generator: nn.Module, step: int) -> None:
        """Add the weights that `generator` has after `step` steps."""
        weights = folded_state(generator)
        decay = min(self.decay, (1 + step) / (10 + step))
        blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        blend(list(self.tensors.values()), [weights[name] for name in self.tensors], step)

    def generator(self, variant: Variant) -> nn.Module:
        """A generator with the averaged weights; its running statistics are still to be set."""
        # Not a copy: copies share the class that spectral norms made, and folding would change it.
        with torch.random.fork_rng(devices=[]):
            generator = fold(build_generator(variant))
        generator.load_state_dict(generator.state_dict() | self.tensors)
        return place(generator)


@torch.no_grad()
def recalibrate(generator: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Replace the running statistics of batch norms by their mean over some training batches.

    The running statistics of training are of earlier weights, and averaged weights have none. The
    generator is left in evaluation mode.

    Args:
        generator: on the device.
        inputs: batches [B, C, H, W] in [-1, 1], of which the first 16 are used.
    """
    generator.eval()
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in itertools.islice(inputs, RECALIBRATION_BATCHES):
        generator(place(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.eval()
