"""How the published networks are initialised."""

from torch import nn
from torch.nn.utils import parametrize


def initialise_spade(network: nn.Module) -> None:
    """Initialise a SPADE network as the published code does on a GPU: Xavier, gain 0.02, biases 0.

    Spectrally normalised convolutions keep torch's own initialisation, because the published code
    writes theirs to a copy that the network no longer reads. The scale of such weights divides out,
    yet it decides how far one step of Adam turns them.
    """
    if _is_outline(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if not parametrize.is_parametrized(module, "weight"):
                nn.init.xavier_normal_(module.weight, gain=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_pix2pixhd(network: nn.Module) -> None:
    """Initialise a pix2pixHD network as published: N(0, 0.02) weights, torch's own biases.

    Batch norms start at N(1, 0.02) and 0; instance norms have no parameters.
    """
    if _is_outline(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


def _is_outline(network: nn.Module) -> bool:
    """Whether it has shapes alone, for which torch would take as long as for values, or longer."""
    return next(network.parameters()).is_meta
