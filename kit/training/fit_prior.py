"""Training pairs -> the model "prior", which has only the colour of places without one to learn."""

from typing import Any

import torch
from torch import nn

from kit.inputs.colors import measure_colors
from kit.inputs.dataset import PairDataset
from kit.models.prior import Prior
from kit.progress import Advance, Stop


def fit_prior(
    dataset: PairDataset,
    *,
    stop: Stop = lambda: False,
    advance: Advance = lambda done, total, words="", /: None,
) -> tuple[nn.Module, dict[str, Any]]:
    """A generator that shows the prior, or else the median colour of the pairs.

    Args:
        dataset: the pairs.
        stop: asked before anything is read.
        advance: called with (done, total), and what is done.

    Returns:
        The generator on the CPU; and no facts.

    Raises:
        InputError: a pair cannot be read.
        KeyboardInterrupt: the user has asked to stop.
    """
    if stop():
        raise KeyboardInterrupt
    advance(0, len(dataset), "pairs")
    generator = Prior()
    colors = measure_colors(dataset.reader, dataset.pairs, dataset.target)
    assert colors.median
    generator.color = torch.tensor(colors.median)
    return generator, {}
