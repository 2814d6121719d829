"""A run's images of pairs that it has not seen, in `runs/NAME/heldout/`, each made once.

In: weights, and pairs. Out: an image for each, beside the sealed manifest of all; what is there
already, of the same weights and pixels, stays.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.errors import InputError
from kit.inputs.planes import InputPlanes
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import Pair
from kit.plain_text import count_of
from kit.progress import Report
from kit.runs.heldout import (
    HELDOUT,
    REMEDY,
    HeldOutRecord,
    has_heldout,
    read_heldout,
    write_heldout,
)
from kit.runs.weights import Weights
from kit.scaling import quantize
from kit.storage.files import atomic
from kit.storage.image_file import digest, image_path, read_image, write_image
from kit.storage.lock import lock
from kit.training.evaluate import batches_of_a_size, predict_batch

_SAVE_EVERY = 8  # batches


def predict_missing(
    folder: Path,
    weights: Weights,
    planes: InputPlanes,
    pairs: Sequence[Pair],
    reader: PairReader,
    pixels_sha256: str | None,
    after: Callable[[int], None],
    report: Report,
) -> dict[str, str]:
    """Make what is missing of a run's predictions in its folder; the digests of all by scene.

    Args:
        folder: of the run.
        weights: of the run.
        planes: make what its network is given.
        pairs: that it has not seen.
        reader: of their pixels.
        pixels_sha256: the digest of all pixels of the table, None where it has none.
        after: called with how many are there.
        report: takes a line about what is made again, and why.

    Raises:
        InputError: a tile or a pack cannot be read.
        BusyError: another process makes them.
    """
    at = folder / HELDOUT
    with lock(at):
        inputs = inputs_of(planes, pairs)
        known = _known(at, weights, inputs, pixels_sha256, report)
        done = {scene: known[scene] for scene in inputs if scene in known}
        # Images of an earlier kit may be of other pixels, and stay so.
        made_pixels = read_heldout(at).pixels_sha256 if done else pixels_sha256

        def save() -> None:
            made_of = {scene: inputs[scene] for scene in done}
            record = HeldOutRecord(weights.sha256, done, made_of, made_pixels)
            write_heldout(at, record)

        todo = [
            batch
            for batch in batches_of_a_size(pairs)
            if any(str(pair.optical) not in done for pair in batch)
        ]
        for number, batch in enumerate(todo):
            if number % _SAVE_EVERY == 0:
                save()
            predicted, _ = predict_batch(weights.placed, planes, reader, batch)
            for pair, rgb in zip(batch, predicted, strict=True):
                image = quantize(rgb)
                with atomic(image_path(at, pair.optical)) as part:
                    write_image(part, image)
                done[str(pair.optical)] = digest(image)
            after(len(done))
        if todo:
            save()
    after(len(done))
    return done


def inputs_of(planes: InputPlanes, pairs: Sequence[Pair]) -> dict[str, str]:
    """The scenes that each optical scene is predicted from, by that scene."""
    return {str(pair.optical): " ".join(planes.names(pair.radar)) for pair in pairs}


def _known(
    at: Path,
    weights: Weights,
    inputs: Mapping[str, str],
    pixels_sha256: str | None,
    report: Report,
) -> dict[str, str]:
    """The digests of the images in a folder that these weights made of these pairs, and intact."""
    if not has_heldout(at):
        return {}
    try:
        made = read_heldout(at)
    except InputError as error:
        report(f"{error.where}: {error.problem}; what it describes is made again")
        return {}
    other = "by other weights than those" if made.weights_sha256 != weights.sha256 else ""
    if made.has_other_pixels(pixels_sha256):
        other = other or "of other pixels than those"
    if other:
        report(f"{at}: predicted {other} of now; predicted again")
        for scene in made.images:
            image_path(at, scene).unlink(missing_ok=True)
        return {}
    intact = {}
    others = 0
    for scene, sha256 in made.images.items():
        if scene not in inputs:
            continue
        if not made.has(scene, inputs[scene]):
            others += 1
            continue
        try:
            read_image(image_path(at, scene), sha256, REMEDY)
            intact[scene] = sha256
        except InputError as error:
            report(f"{error.where}: {error.problem}; it is made again")
    if others:
        report(f"{at}: {count_of(others, 'image')} of other scenes than now; predicted again")
    return intact
