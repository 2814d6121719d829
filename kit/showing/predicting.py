"""Trained runs -> their predictions of views, now.

In: views and names of variants. Out: the views, with these predictions too. Of a variant in folds
the fold that held a pair out predicts it, and what no fold has seen is the mean of all. Refused by
name: a variant that is not trained, and scenes beside the pairs for a variant of several dates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.averaging import average
from kit.errors import InputError
from kit.inputs.planes import InputPlanes
from kit.models.infer import infer
from kit.pairs.open_pairs import open_pairs
from kit.pairs.summary import read_units
from kit.pairs.table import PAIRS, read_pairs
from kit.progress import Report
from kit.runs.ensemble import expand
from kit.runs.planes import planes_for_pairs, planes_for_scenes
from kit.runs.seen import TrainingPairs
from kit.runs.training_pairs import read_training_pairs
from kit.runs.units import check_units
from kit.runs.weights import Weights, read_run
from kit.scaling import quantize
from kit.showing.finding import Folders
from kit.showing.stored import SEEN
from kit.showing.view import Pixels, Prediction, View
from kit.sources.origin import read_tile_units
from kit.tiles.extent import side_of
from kit.units_record import UnitsRecord


def with_predictions(
    views: Sequence[View], folders: Folders, names: Sequence[str], report: Report
) -> tuple[View, ...]:
    """The views with predictions by these variants, in place of stored ones of their names.

    Raises:
        InputError: a variant is not trained, its weights cannot be used, or what it is given of
            other scenes is missing.
    """
    for name in names:
        runs = [_Run.read(folders, run) for run in expand(folders.runs, name, report)]
        for data, units in _units(views, folders).items():
            check_units([run.weights for run in runs], units, data, "any", report)
        views = [_with(view, name, runs, folders) for view in views]
    return tuple(views)


def _units(views: Sequence[View], folders: Folders) -> dict[Path, UnitsRecord]:
    """The units of the radar of the views, by the table of pairs or the folder that it is from."""
    found: dict[Path, UnitsRecord] = {}
    if any(view.pair for view in views):
        found[folders.work / PAIRS] = read_units(folders.work)
    alone = [view.radar.scene for view in views if view.radar and not view.pair]
    for folder in {Path(str(scene.files[0])).parent for scene in alone}:
        found[folder] = read_tile_units(folder)
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    """A trained run, and what it was trained on as far as it says."""

    weights: Weights
    trained: TrainingPairs | None

    @classmethod
    def read(cls, folders: Folders, name: str) -> "_Run":
        return cls(read_run(folders.runs, name), read_training_pairs(folders.runs / name))

    def has_held_out(self, view: View) -> bool:
        """Whether a view is a pair that this run held out of its folds."""
        held = self.trained.held if self.trained else ()
        return view.pair is not None and str(view.pair.optical) in held

    def has_seen(self, radar: Pixels) -> bool:
        """Whether the ground of a scene was trained on."""
        side = side_of(radar.grid, *radar.values.shape[1:])
        return bool(self.trained and self.trained.among([str(radar.key)], side))

    def predict(self, view: View, radar: Pixels, folders: Folders) -> NDArray[np.uint16]:
        """The image [3, H, W] of the radar of a view."""
        planes = self._planes(view, radar, folders)
        without = view.pair.optical if view.pair else None
        inputs = planes.of(radar.key, radar.values, without=without).values
        return quantize(infer(self.weights.placed, inputs[None])[0])

    def _planes(self, view: View, radar: Pixels, folders: Folders) -> InputPlanes:
        variant, folder = self.weights.variant, self.weights.path.parent
        if view.pair:
            pairs = read_pairs(folders.work / PAIRS)
            reader = open_pairs(folders.work, pairs)
            return planes_for_pairs(folder, variant, folders.work, reader, pairs)
        if variant.radar_dates > 1:
            problem = f"{variant.name} averages {variant.radar_dates} radar scenes of a place"
            remedy = f"run: kit predict --ensemble {variant.base_name} --input TEST"
            raise InputError(str(radar.key), f"is in no pair, and {problem}", remedy=remedy)
        return planes_for_scenes(folder, variant, folders.work, [radar.scene])


def _with(view: View, name: str, runs: Sequence[_Run], folders: Folders) -> View:
    radar = view.radar
    if radar is None:
        return view
    chosen = [run for run in runs if run.has_held_out(view)] or runs
    images = [run.predict(view, radar, folders) for run in chosen]
    held = view.pair is not None and view.pair.split == "holdout"
    seen = not held and any(not run.has_held_out(view) and run.has_seen(radar) for run in chosen)
    made = Prediction(
        name,
        average(images),
        chosen[0].weights.variant.target,
        str(chosen[0].weights.path),
        SEEN if seen else "",
    )
    others = [each for each in view.predictions if each.name != name]
    return replace(view, predictions=(*others, made))
