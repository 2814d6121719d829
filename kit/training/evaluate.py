"""A generator over pairs -> its images of them, and their errors."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kit.anchors import anchor
from kit.inputs.planes import InputPlanes, read_optical, read_pair
from kit.machine.device import place
from kit.metrics import anchored, errors, mse, official_of
from kit.models.infer import infer
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import Pair
from kit.progress import Advance
from kit.scaling import quantize, stretch

BATCH = 8


def evaluate_each(
    generator: nn.Module,
    planes: InputPlanes,
    reader: PairReader,
    pairs: Sequence[Pair],
    measure: str = "mae",
    advance: Advance | None = None,
) -> list[dict[str, float]]:
    """The errors in [0, 1] of a generator on each of `pairs`.

    Args:
        generator: of the variant that `planes` are of.
        planes: make what it is given.
        reader: of the pixels.
        pairs: at least one.
        measure: the official one of this measure is among the errors too, see `official_errors`.
        advance: called with the pairs done and their number.
    """
    generator = place(generator)
    found = []
    for batch in batches_of_a_size(pairs):
        predicted, truths = predict_batch(generator, planes, reader, batch)
        for pair, image, truth in zip(batch, predicted, truths, strict=True):
            found.append(errors(image, truth) | official_errors(measure, reader, pair, image))
        if advance:
            advance(len(found), len(pairs))
    return found


def official_errors(
    measure: str, reader: PairReader, pair: Pair, image: NDArray[np.floating]
) -> dict[str, float]:
    """The server's error of an image [3, H, W] in [0, 1], as it is and with anchors.

    With one truth and one image a scene, those of 2022 and 2023 are the same.

    Returns:
        Both, by the name of `kit.metrics.official_of` the measure and by that of `anchored`.
    """
    official = official_of(measure)
    truth, stored = read_optical(reader, pair, "minmax"), quantize(image)
    return {
        official: mse(stretch(stored), truth),
        anchored(official): mse(stretch(anchor(stored)), truth),
    }


def batches_of_a_size(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """`pairs` in batches of at most `BATCH`, each of images of one size."""
    groups = groupby(pairs, key=lambda pair: (pair.height, pair.width))
    sized = [list(group) for _, group in groups]
    return [group[at : at + BATCH] for group in sized for at in range(0, len(group), BATCH)]


def batch_errors(
    generator: nn.Module, planes: InputPlanes, reader: PairReader, batch: Sequence[Pair]
) -> list[dict[str, float]]:
    """The errors in [0, 1] of each pair of a batch; the generator is on the device."""
    predicted, truths = predict_batch(generator, planes, reader, batch)
    return [errors(image, truth) for image, truth in zip(predicted, truths, strict=True)]


def predict_batch(
    generator: nn.Module, planes: InputPlanes, reader: PairReader, batch: Sequence[Pair]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The images [N, 3, H, W] of a batch and their truths, in [0, 1]; the generator as above."""
    arrays = [read_pair(planes, reader, pair) for pair in batch]
    predicted = infer(generator, np.stack([inputs for inputs, _ in arrays]))
    return predicted, [truth for _, truth in arrays]
