"""What the network of a run is given: its variant's planes, from the data that it was trained on.

In: a variant and the pairs that it is trained on; or the folder of a run. Out: the `InputPlanes`
that make its inputs, of the table's pairs or of the scenes of a folder of tiles. Refused by name:
a run that does not say what it was trained on, where its prior needs that, and another table of
pairs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.inputs.planes import InputPlanes, read_optical
from kit.inputs.prior import Priors
from kit.inputs.series import RadarSeries
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pair_reader import PairReader
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.runs.training_pairs import TRAINING_PAIRS, read_training_pairs
from kit.screening.table import SCENES, read_screened
from kit.tiles.reader import read_scene
from kit.tiles.scenes import Scene
from kit.variants.settings import Variant

OF_OTHER_SCENES = ("radar_dates", "prior", "target")
"""The settings of a variant that decide which other scenes its planes are made of, and how."""


def planes_for_training(
    variant: Variant,
    work: Path,
    reader: PairReader,
    chosen: Sequence[Pair],
    others: Sequence[Pair] = (),
) -> InputPlanes:
    """What a training on the pairs `chosen` is given, and what it is validated with.

    Args:
        variant: what is trained.
        work: the folder of the tables.
        reader: of the pixels of `chosen`.
        chosen: the only pairs whose optical scenes a prior may show.
        others: pairs that are predicted too.

    Raises:
        InputError: the table of scenes is missing or damaged, where other dates are needed.
    """
    series = None
    if variant.radar_dates > 1:
        places = {pair.place for pair in (*chosen, *others)}
        series = RadarSeries(_radar_scenes(work), variant.radar_dates, _read, places=places)
    priors = _priors(variant, reader, chosen) if variant.prior else None
    return InputPlanes(variant, series, priors)


def planes_for_pairs(
    folder: Path, variant: Variant, work: Path, reader: PairReader, pairs: Sequence[Pair]
) -> InputPlanes:
    """What the run in `folder` is given of pairs of the table, as when it was validated.

    Args:
        folder: of the run.
        variant: what was trained.
        work: the folder of the tables.
        reader: of the pixels of `pairs`.
        pairs: all of the table.

    Raises:
        InputError: as `planes_for_training`, or the run does not say what it was trained on, or
            that is not in the table.
    """
    seen = _trained_on(folder, work, pairs) if variant.prior else ()
    return planes_for_training(variant, work, reader, seen, pairs)


def planes_for_scenes(
    folder: Path, variant: Variant, work: Path, scenes: Iterable[Scene]
) -> InputPlanes:
    """What the run in `folder` is given of radar scenes that are to be predicted.

    Other dates are those among `scenes`; a prior shows what the run was trained on.

    Raises:
        InputError: the table of pairs is missing or damaged, where a prior needs it, or as
            `planes_for_pairs`.
    """
    series = priors = None
    if variant.radar_dates > 1:
        series = RadarSeries(scenes, variant.radar_dates, _read, skip_unreadable=True, kept=0)
    if variant.prior:
        seen = _trained_on(folder, work, read_pairs(work / PAIRS))
        priors = _priors(variant, open_pairs(work, seen), seen)
    return InputPlanes(variant, series, priors)


def _priors(variant: Variant, reader: PairReader, seen: Sequence[Pair]) -> Priors:
    return Priors(seen, lambda pair: read_optical(reader, pair, variant.target))


def _read(scene: Scene) -> NDArray[np.float32]:
    return read_scene("Sentinel1", scene.files)


def _radar_scenes(work: Path) -> Iterable[Scene]:
    """The radar scenes that were screened and are complete."""
    for row in read_screened(work / SCENES):
        if row.scene.sensor == "Sentinel1" and not row.nodata:
            yield row.scene


def _trained_on(folder: Path, work: Path, pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    trained = read_training_pairs(folder)
    if trained is None:
        problem = "is missing, and says of which scenes the prior is"
        remedy = f"copy it from where {folder.name} was trained, beside its weights"
        raise InputError(folder / TRAINING_PAIRS, problem, remedy=remedy)
    known = {str(pair.optical): pair for pair in pairs}
    if missing := [scene for scene in trained.optical if scene not in known]:
        problem = f"lacks {len(missing)} of the {len(trained.optical)} pairs of {folder.name}"
        remedy = "give the folder that it was trained with, by --work: its prior is made of those"
        raise InputError(work / PAIRS, problem, remedy=remedy)
    seen = (known[scene] for scene in trained.optical)
    if trained.clear is None:
        return tuple(seen)
    # Today's table may have been made by another cloud rule.
    clear = set(trained.clear)
    return tuple(replace(pair, dataset2=str(pair.optical) in clear) for pair in seen)
