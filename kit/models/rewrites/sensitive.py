"""Which convolutions of a generator must not have inputs and weights of eight bits.

In: a generator as `kit.models.rewrites.fuse.for_inference` rewrites it. Out: names of its modules.
Measured on trained networks: the convolutions that make gamma and beta bear it in every block, the
blocks' own not in the last two or three, whose features have outliers.
"""

from torch import nn

from kit.models.spade import SpadeBlock

_LAST = 2  # blocks


def delicate(network: nn.Module) -> list[set[str]]:
    """What to leave as it is: sets of names, the first for speed, the last for the least harm.

    The first convolution, which sees the SAR, and the last, which draws, are in all of them.
    """
    convolutions = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    blocks = [name for name, module in network.named_modules() if isinstance(module, SpadeBlock)]
    own = [
        {f"{block}.{each}" for each in ("conv_0", "conv_1", "conv_s")} & set(convolutions)
        for block in blocks
    ]
    ends = {convolutions[0], convolutions[-1]}
    return [ends.union(*own[-_LAST:]), ends.union(*own)] if blocks else [ends]
