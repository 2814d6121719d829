"""Predictions that are there already: of test scenes, and of pairs that were held out.

In: the folders of predictions, of ensembles and of runs. Out: the images of one scene, each with
what speaks against its errors: those of members, and what they make as the ensemble that was
predicted last. A manifest or an image that is damaged is reported and left out.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.ground import Place
from kit.prediction.combination import PLAIN, Combination
from kit.prediction.ensembles import chosen_ensemble, ensemble_path
from kit.prediction.folds import predicted_members
from kit.prediction.last import read_last, was_predicted
from kit.prediction.manifest import predicted
from kit.prediction.members import Member, combine_scene, read_member
from kit.progress import Report
from kit.runs.folder import BEST, read_variant
from kit.runs.heldout import HELDOUT, REMEDY, has_heldout, read_heldout
from kit.showing.view import Prediction
from kit.storage.files import sha256
from kit.storage.image_file import image_path, read_image
from kit.tiles.names import SceneKey

SEEN = "trained on"
"""What is said of a prediction of ground that its weights were trained on."""
_NONE = np.zeros((3, 0, 0), np.uint16)

_Unread = tuple[Prediction, Callable[[], NDArray[np.uint16]]]
"""A prediction without its image, and what reads that."""


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """The held-out predictions of a run: the digest of each image by its optical scene."""

    folder: Path
    target: str
    doubt: str
    digests: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Together:
    """What the members of an ensemble make together."""

    name: str
    origin: Path
    members: tuple[Member, ...]
    combination: Combination

    @property
    def target(self) -> str:
        """The space of its images."""
        return self.combination.space(self.members[0].target)


@dataclass(frozen=True, slots=True)
class Stored:
    """All predictions that are stored; images are read when they are asked for."""

    members: tuple[Member, ...]
    together: _Together | None
    heldout: tuple[_HeldOut, ...]
    report: Report

    @classmethod
    def read(cls, predictions: Path, ensembles: Path, runs: Path, report: Report) -> "Stored":
        """What the manifests in these folders say; damaged ones are reported."""
        members, heldout = [], []
        for name in predicted(predictions):
            with _reported(report):
                members.append(read_member(predictions / name))
        for folder in sorted(path.parent for path in runs.glob(f"*/{HELDOUT}")):
            if not has_heldout(folder / HELDOUT):
                continue
            with _reported(report):
                heldout.append(_read_heldout(folder))
        together = None
        if members and was_predicted(predictions):
            with _reported(report):
                together = _read_together(predictions, ensembles)
        return cls(tuple(members), together, tuple(heldout), report)

    def inputs(self, places: Collection[Place], known: Collection[SceneKey]) -> list[Path]:
        """The folders of tiles that scenes of these places were predicted from, but known ones."""
        scenes = {str(scene) for scene in known}
        folders: dict[Path, None] = {}
        for member in self.members:
            if any(
                tuple(scene.split("_", 2)[:2]) in places and scene not in scenes
                for scene in member.scenes
            ):
                folders[member.input] = None
        return [*folders]

    def of(self, radar: SceneKey | None, optical: SceneKey | None) -> tuple[Prediction, ...]:
        """The predictions of a radar scene, and those of the pair with an optical scene."""
        wanted = [*self._of_radar(str(radar)), *self._of_optical(str(optical))]
        found = []
        for prediction, read in wanted:
            with _reported(self.report):
                found.append(replace(prediction, image=read()))
        return tuple(found)

    def _of_radar(self, scene: str) -> Iterator[_Unread]:
        for member in self.members:
            if scene in member.scenes and member.has(scene):
                doubt = SEEN if scene in member.trained_on else ""
                origin = str(image_path(member.folder, scene))
                about = Prediction(member.variant, _NONE, member.target, origin, doubt)
                yield about, partial(member.load, scene)
        made = self.together
        if made and all(scene in each.scenes and each.has(scene) for each in made.members):
            doubt = SEEN if any(scene in each.trained_on for each in made.members) else ""
            about = Prediction(made.name, _NONE, made.target, str(made.origin), doubt)
            yield about, partial(combine_scene, made.members, scene, made.combination)

    def _of_optical(self, scene: str) -> Iterator[_Unread]:
        for run in self.heldout:
            if scene in run.digests:
                path = image_path(run.folder, scene)
                about = Prediction(run.folder.parent.name, _NONE, run.target, str(path), run.doubt)
                yield about, partial(read_image, path, run.digests[scene], REMEDY)


def predicted_from(predictions: Path) -> list[Path]:
    """The folders of tiles that the members in a folder predicted from, the last ensemble first."""
    last: Collection[str] = ()
    with suppress(InputError):
        last = read_last(predictions)[1]
    folders = []
    for name in sorted(predicted(predictions), key=lambda name: name not in last):
        with suppress(InputError):
            folders.append(read_member(predictions / name).input)
    return [*dict.fromkeys(folders)]


@contextmanager
def _reported(report: Report) -> Iterator[None]:
    """Report what is missing or damaged, and go on without it."""
    try:
        yield
    except InputError as error:
        report(f"{error.where}: {error.problem}")


def _read_together(predictions: Path, ensembles: Path) -> _Together | None:
    """The ensemble that was predicted last; None where it is one member as it is."""
    ensemble = chosen_ensemble(predictions, folder=ensembles)
    members, combination = predicted_members(predictions, ensemble.members, ensemble.combination)
    if len(members) == 1 and combination == PLAIN:
        return None
    origin = ensemble_path(ensembles, ensemble.name) if ensemble.fitted else predictions
    return _Together(ensemble.name, origin, members, combination)


def _read_heldout(folder: Path) -> _HeldOut:
    made = read_heldout(folder / HELDOUT)
    current = (folder / BEST).exists() and sha256(folder / BEST) == made.weights_sha256
    doubt = "" if current else "made by other weights than the run has now"
    return _HeldOut(folder / HELDOUT, read_variant(folder).target, doubt, made.images)
