"""Predictions that are there already: of test scenes, and of pairs that were held out.

In: the folders of predictions and of runs. Out: the images of one scene, each with what speaks
against its errors. A manifest or an image that is damaged is reported and left out.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.files import sha256
from kit.ground import Place
from kit.image_file import image_path, read_image
from kit.prediction.manifest import predicted
from kit.prediction.members import Member, read_member
from kit.progress import Report
from kit.runs.folder import BEST, read_variant
from kit.runs.heldout import HELDOUT, REMEDY, has_heldout, read_heldout
from kit.showing.view import Prediction
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
class Stored:
    """All predictions that are stored; images are read when they are asked for."""

    members: tuple[Member, ...]
    heldout: tuple[_HeldOut, ...]
    report: Report

    @classmethod
    def read(cls, predictions: Path, runs: Path, report: Report) -> "Stored":
        """What the manifests in both folders say; damaged ones are reported."""
        members, heldout = [], []
        for name in predicted(predictions):
            try:
                members.append(read_member(predictions / name))
            except InputError as error:
                report(f"{error.where}: {error.problem}")
        for folder in sorted(path.parent for path in runs.glob(f"*/{HELDOUT}")):
            if not has_heldout(folder / HELDOUT):
                continue
            try:
                heldout.append(_read_heldout(folder))
            except InputError as error:
                report(f"{error.where}: {error.problem}")
        return cls(tuple(members), tuple(heldout), report)

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
            try:
                found.append(replace(prediction, image=read()))
            except InputError as error:
                self.report(f"{error.where}: {error.problem}")
        return tuple(found)

    def _of_radar(self, scene: str) -> Iterator[_Unread]:
        for member in self.members:
            if scene in member.scenes and member.has(scene):
                doubt = SEEN if scene in member.trained_on else ""
                origin = str(image_path(member.folder, scene))
                about = Prediction(member.variant, _NONE, member.target, origin, doubt)
                yield about, partial(member.load, scene)

    def _of_optical(self, scene: str) -> Iterator[_Unread]:
        for run in self.heldout:
            if scene in run.digests:
                path = image_path(run.folder, scene)
                about = Prediction(run.folder.parent.name, _NONE, run.target, str(path), run.doubt)
                yield about, partial(read_image, path, run.digests[scene], REMEDY)


def _read_heldout(folder: Path) -> _HeldOut:
    weights, digests = read_heldout(folder / HELDOUT)
    current = (folder / BEST).exists() and sha256(folder / BEST) == weights
    doubt = "" if current else "made by other weights than the run has now"
    return _HeldOut(folder / HELDOUT, read_variant(folder).target, doubt, digests)
