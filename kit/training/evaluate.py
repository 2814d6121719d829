"""A generator over pairs -> its images of them, and their errors."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kit.device import place
from kit.inputs.planes import InputPlanes, read_pair
from kit.metrics import Scores, errors, summarise
from kit.models.infer import infer
from kit.pairs.source import Source
from kit.pairs.table import Pair

BATCH = 8


def evaluate(
    generator: nn.Module, planes: InputPlanes, source: Source, pairs: Sequence[Pair]
) -> Scores:
    """The scores in [0, 1] of a generator over `pairs`."""
    generator = place(generator)
    found = [batch_errors(generator, planes, source, batch) for batch in batches_of_a_size(pairs)]
    return summarise([each for batch in found for each in batch])


def batches_of_a_size(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """`pairs` in batches of at most `BATCH`, each of images of one size."""
    groups = groupby(pairs, key=lambda pair: (pair.height, pair.width))
    sized = [list(group) for _, group in groups]
    return [group[at : at + BATCH] for group in sized for at in range(0, len(group), BATCH)]


def batch_errors(
    generator: nn.Module, planes: InputPlanes, source: Source, batch: Sequence[Pair]
) -> list[dict[str, float]]:
    """The errors in [0, 1] of each pair of a batch; the generator is on the device."""
    predicted, truths = predict_batch(generator, planes, source, batch)
    return [errors(image, truth) for image, truth in zip(predicted, truths, strict=True)]


def predict_batch(
    generator: nn.Module, planes: InputPlanes, source: Source, batch: Sequence[Pair]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The images [N, 3, H, W] of a batch and their truths, in [0, 1]; the generator as above."""
    arrays = [read_pair(planes, source, pair) for pair in batch]
    predicted = infer(generator, np.stack([inputs for inputs, _ in arrays]))
    return predicted, [truth for _, truth in arrays]
