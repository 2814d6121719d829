"""Which convolutions of a generator lose accuracy with inputs and weights of eight bits.

In: a generator as `kit.models.rewrites.fuse.for_inference` rewrites it. Out: names of its modules.
Measured on trained networks: the convolutions that SPADE's norms are modulated by tolerate eight
bits in every block; the blocks' own do not always in the last two, whose features have outliers.
"""

from torch import nn

from kit.models.spade import SpadeBlock

_OWN = ("conv_0", "conv_1", "norm_s.projection")


def sensitive_layers(network: nn.Module) -> list[set[str]]:
    """The layers to keep in float: sets of names that grow, from fast to accurate.

    The first convolution, whose input is the SAR, and the last, whose output is RGB, are in all.
    SPADE's further sets have the own convolutions of its last block, of its last two, and of all.
    """
    convolutions = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    blocks = [name for name, module in network.named_modules() if isinstance(module, SpadeBlock)]
    own = [{f"{block}.{each}" for each in _OWN} & set(convolutions) for block in blocks]
    ends = {convolutions[0], convolutions[-1]}
    counts = (0, 1, 2, len(blocks)) if blocks else (0,)
    return [ends.union(*own[len(own) - count :]) for count in counts]
