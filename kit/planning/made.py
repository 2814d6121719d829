"""What the predictions and the archive that lie there are of, against what is asked for now.

In: a request, the views of its plan, and the fitted ensemble. Out: for both whether they are what
is asked for, and what else they are. Their manifests decide, and no time of a file: another TEST,
layout, list of names or number of views is noticed, in whatever order the files were written.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.archive.expected import read_expected
from kit.archive.layout import find_layout, name_images
from kit.archive.manifest import Manifest, find_manifest, predictions_digest
from kit.averaging import spread
from kit.errors import InputError
from kit.planning.inputs import Request
from kit.planning.scored import State
from kit.prediction.combination import Combination, Stretch
from kit.prediction.ensembles import Ensemble
from kit.prediction.manifest import Manifest as Predictions
from kit.prediction.manifest import difference, manifest_path, read_manifest
from kit.runs.ensemble import expand
from kit.runs.weights import read_run
from kit.sources.detect import only_tiles
from kit.sources.origin import read_origin
from kit.sources.radar_listing import list_radar
from kit.storage.files import PREDICTIONS, RUNS
from kit.storage.image_file import image_path
from kit.tiles.catalog import catalog
from kit.tiles.fingerprint import states
from kit.tiles.netcdf import File


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be predicted and packaged.

    `weights` are the SHA-256 of the weights of each run that predicts, `combination` makes one
    image of theirs. `origin` is the folder of the radar images, and `tiles` the files of each radar
    scene in it, None where these are still to be made of images of another layout.
    """

    request: Request
    flips: int
    weights: Mapping[str, str]
    combination: Combination
    origin: Path
    tiles: Mapping[str, tuple[File, ...]] | None


def ask(request: Request, flips: int, ensemble: Ensemble, stretch: Stretch | None) -> Asked:
    """Look up what a request means now.

    Args:
        request: of `kit compete`.
        flips: how many views of each scene are averaged.
        ensemble: the fitted one.
        stretch: for `kit package`; None for that of the ensemble.

    Raises:
        InputError: a member is not trained, or TEST cannot be read.
    """
    runs = [expand(RUNS, member) for member in ensemble.members]
    weights = {run: read_run(RUNS, run).sha256 for each in runs for run in each}
    combination = replace(
        ensemble.combination,
        averaging=spread(ensemble.combination.averaging, [*map(len, runs)]),
        stretch=stretch or ensemble.combination.stretch,
    )
    only = only_tiles(request.test, request.source)
    images = None if only else list_radar(request.test, request.source)
    if images:
        return Asked(request, flips, weights, combination, images.where, None)
    test = request.test.resolve()
    tiles = {str(scene.key): tuple(scene.files) for scene in catalog(test).of("Sentinel1")}
    return Asked(request, flips, weights, combination, test, tiles)


def predictions_state(asked: Asked) -> State:
    """Whether all is predicted: by these weights, in these views, of the tiles as they are now.

    Where predictions are gone, and the archive is of such ones, none are needed. Images of another
    layout are not compared: `kit predict` does that as it makes tiles of them.

    Raises:
        InputError: a manifest of predictions cannot be read.
    """
    found = _predictions(asked)
    if not found:
        return State(archive_state(asked).done)
    for run, there in found.items():
        wanted = replace(there, weights_sha256=asked.weights[run], flips=asked.flips)
        if not (_is_of(asked, there.input) or _was_moved(asked, there)):
            wanted = replace(wanted, input=str(asked.origin), scenes={})
        if other := difference(there, wanted):
            return State(differs=f"{PREDICTIONS / run}: {other}")
    complete = all(_is_complete(asked, run, there) for run, there in found.items())
    return State(complete and len(found) == len(asked.weights))


def archive_state(asked: Asked) -> State:
    """Whether the archive is of the predictions that are there, under the names asked for.

    Where predictions are gone, its manifest says of which it is.

    Raises:
        InputError: the list of names, or a manifest of predictions, cannot be read.
    """
    archive = asked.request.archive
    if not archive.exists():
        return State()
    record = Manifest(archive)
    with suppress(InputError):
        record = find_manifest(archive)
    if not record.members:
        return State(differs=f"{archive}: no manifest says what it is of")
    problem = _difference(asked, record)
    return State(not problem, problem and f"{archive}: {problem}")


def _difference(asked: Asked, record: Manifest) -> str:
    """What an archive is otherwise than asked; "" if it is that."""
    layout, expected = find_layout(asked.request.layout), asked.request.expected
    found = _predictions(asked)
    first = next(iter(found.values()), None)
    scenes = first.scenes if first else asked.tiles or {*record.scenes.values()}
    if expected:
        names = {name: str(scene) for name, scene in read_expected(expected, layout).items()}
    else:
        names = name_images([*scenes], layout)
    if record.layout != layout:
        return f"is of layout {record.layout.name if record.layout else '?'}"
    if record.scenes != names:
        return "holds other names or scenes"
    if record.combination != asked.combination:
        return "its images are averaged otherwise"
    if found:
        now = {run: _digest(there, names) for run, there in found.items()}
        same = now == {each.variant: each.predictions_sha256 for each in record.members}
    else:
        weights = {each.variant: each.weights_sha256 for each in record.members}
        same = weights == asked.weights and all(
            each.flips == asked.flips and _is_of(asked, str(each.input)) for each in record.members
        )
    return "" if same else "is of other predictions"


def _predictions(asked: Asked) -> dict[str, Predictions]:
    """The manifests of the runs that have predictions."""
    folders = {run: PREDICTIONS / run for run in asked.weights}
    return {
        run: read_manifest(folder, "remove it, and run the same command again")
        for run, folder in folders.items()
        if manifest_path(folder).exists()
    }


def _digest(there: Predictions, names: Mapping[str, str]) -> str:
    """That of the predictions of these names, as the manifest of an archive has it."""
    scenes = {*names.values()}
    return predictions_digest(
        {scene: str(there.scenes.get(scene, {}).get("sha256")) for scene in scenes}
    )


def _is_of(asked: Asked, tiles: str) -> bool:
    """Whether a folder of tiles is TEST, or was made of its images."""
    if asked.tiles is not None:
        return Path(tiles) == asked.origin
    return read_origin(Path(tiles)) == asked.origin


def _was_moved(asked: Asked, there: Predictions) -> bool:
    """Whether the folder of tiles is gone, and TEST has these, as it does where it was moved."""
    tiles = asked.tiles
    return (
        tiles is not None
        and not os.path.exists(there.input)
        and all(
            scene in tiles and _has_tiles(entry, states(tiles[scene]))
            for scene, entry in there.scenes.items()
        )
    )


def _has_tiles(entry: Mapping[str, Any], now: Sequence[Sequence[int]]) -> bool:
    """Whether an image is of tiles of these sizes and times; those of other dates come after."""
    return bool(entry["tiles"][: len(now)] == [[*state[:2]] for state in now])


def _is_complete(asked: Asked, run: str, there: Predictions) -> bool:
    """Whether there is a prediction of every scene, and of its tiles as they are now."""
    if asked.tiles is None or {*asked.tiles} != {*there.scenes}:
        return False
    for scene, files in asked.tiles.items():
        entry, now = there.scenes[scene], states(files)
        if (
            entry.get("nodata") is None
            or not _has_tiles(entry, now)
            or max(state[2] for state in now) > entry.get("changed", -1)
            or not image_path(PREDICTIONS / run, scene).exists()
        ):
            return False
    return True
