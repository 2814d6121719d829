"""Which convolutions of a generator lose accuracy with inputs and weights of eight bits.

In: a generator as `kit.models.rewrites.fuse.for_inference` rewrites it. Out: names of its modules.
Measured on trained networks: the convolutions that compute gamma and beta tolerate eight bits in
every block; the blocks' own do not in the last two or three, whose features have outliers.
"""

from torch import nn

from kit.models.spade import SpadeBlock

_LAST = 2  # blocks


def sensitive_layers(network: nn.Module) -> list[set[str]]:
    """The layers to keep in float: sets of names, the first for speed, the last for accuracy.

    The first convolution, whose input is the SAR, and the last, whose output is RGB, are in all.
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
