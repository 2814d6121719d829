"""One member of a prediction: its folder, and the scenes that are still missing.

In: weights, and scenes as they are read. Out: `<scene>.npy` for each, and the manifest. What the
manifest is going to say of a scene is first a line in the journal, so that nothing is lost when a
process is killed; the first process applies these lines.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kit.engines.backend import Plan, Spec
from kit.engines.engine import Engine
from kit.errors import BusyError, CheckError, InputError
from kit.inputs.planes import InputPlanes
from kit.machine.lookahead import map_ahead
from kit.prediction.batches import Batches, Predicted
from kit.prediction.journal import Journal
from kit.prediction.manifest import (
    Manifest,
    difference,
    known_engines,
    manifest_path,
    read_manifest,
    write_manifest,
)
from kit.prediction.next_set import next_folder, share, would_lose
from kit.prediction.pipeline import Input, Reading
from kit.prediction.replaced import forget_replaced
from kit.prediction.writer import Writer
from kit.progress import Report
from kit.runs.folder import read_pairs_sha256
from kit.runs.training_pairs import read_training_pairs
from kit.runs.weights import Weights
from kit.scaling import SCALING
from kit.storage.files import make_folder, naming
from kit.storage.half_written import sweep
from kit.storage.image_file import image_path, image_paths, read_image
from kit.storage.replacement import replace_folder
from kit.tiles.fingerprint import states
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene
from kit.variants.record import to_record

_REMEDY = "predict with --overwrite"
_CHECKERS = 4  # threads that compare images with their checksums


class MemberJob:
    """What this process, of one or several, does for one member of an ensemble.

    Args:
        folder: of the member's predictions.
        weights: of the member.
        planes: make what its network is given.
        rank: of this process.
        flips: how many views of a scene are averaged, see `kit.models.flips`.
        report: takes a line about the engines.

    Attributes:
        batches: the scenes that wait for its network, and its engine.
        todo: the scenes that this process has still to predict.
        at: the folder that is written to: `folder`, or the one that takes its place.
    """

    def __init__(
        self,
        folder: Path,
        weights: Weights,
        planes: InputPlanes,
        rank: int,
        flips: int = 1,
        report: Report = lambda _: None,
    ) -> None:
        self.folder = folder
        self.weights = weights
        self.planes = planes
        self.batches = Batches(weights, flips, self._record, report)
        self.todo: set[SceneKey] = set()
        self._rank = rank
        self._flips = flips
        self.stage(False)
        self._report = report
        self._recorded: set[tuple[str, Spec, Plan]] = set()
        self._intact: frozenset[SceneKey] = frozenset()

    def claim(
        self,
        scenes: Mapping[SceneKey, Scene],
        side: int,
        data: Path,
        runs: Path,
        overwrite: bool,
        restarted: bool = False,
    ) -> None:
        """Make the folder, which the caller has locked, that of these weights and scenes.

        Images of the same tiles are kept. Where others or a complete manifest would have to go, the
        set is made beside the folder, whose place it takes when it is complete.

        Args:
            scenes: all that are to be predicted.
            side: of the ground of most of them, in pixels of 10 m.
            data: the folder that they are in.
            runs: the folder of trained runs.
            overwrite: replace predictions by other weights, or of other tiles or views.
            restarted: by torchrun, so that what is there is kept in spite of `overwrite`.

        Raises:
            BusyError: it holds predictions by other weights, of other tiles, or of other views.
            InputError: its manifest, the configuration of the run, or other weights than its own
                cannot be read.
        """
        stage = next_folder(self.folder)
        sweep(stage)
        found = {
            str(key): states((*scene.files, *self.planes.files(key)))
            for key, scene in scenes.items()
        }
        tiles = {name: [state[:2] for state in each] for name, each in found.items()}
        changed = {name: max(state[2] for state in each) for name, each in found.items()}
        new = self._new_manifest(data, runs)
        new.scenes = {name: {"tiles": now, "nodata": None} for name, now in tiles.items()}
        source, known = stage, self._known(stage, new, begun=True)
        self.stage(known is not None)
        if known:
            forget_replaced(known, scenes, changed, self.planes)
        if not known:
            shutil.rmtree(stage, ignore_errors=True)
            source = self.folder
            # torchrun starts a process again with the same options: what it has made stays.
            known = None if overwrite and not restarted else self._known(self.folder, new)
            if known:
                forget_replaced(known, scenes, changed, self.planes)
            if not (known or overwrite):
                self._check_same(new)
            if any(image_paths(self.folder)) and (not known or would_lose(known, tiles)):
                self._report(f"{self.folder}: stays as it is until the new set is complete")
                self.stage(True)
                make_folder(stage)
        if known:
            new.engines = known_engines(known)
        else:
            self._journal.clear()
        for name, now in tiles.items():
            entry = self._take(name, now, known, source) or new.scenes[name]
            new.scenes[name] = entry | {"changed": changed[name]}
        trained = read_training_pairs(runs / self.weights.variant.name)
        if trained:
            new.trained_on = trained.among(tiles, side)
        write_manifest(self.at, new)
        self._intact = self._find_intact(scenes, new)
        self._journal.clear()

    def stage(self, staged: bool) -> None:
        """Make the set beside its folder, or in it."""
        self.at = next_folder(self.folder) if staged else self.folder
        self._journal = Journal(self.at, self._rank)

    @property
    def is_staged(self) -> bool:
        """Whether the set is made beside its folder."""
        return self.at != self.folder

    def _known(self, folder: Path, new: Manifest, *, begun: bool = False) -> Manifest | None:
        """What is known of the images in a folder, if the weights and the input are the same.

        Where `begun` is true, it is one of a next set: damaged, it is as none.
        """
        if not manifest_path(folder).exists():
            return None
        # If the weights could not be read, a manifest may be there without any image.
        if not begun and not any(image_paths(folder)):
            return None
        try:
            found = read_manifest(folder, _REMEDY)
        except InputError:
            if begun:
                return None
            raise
        if difference(found, new):
            return None
        Journal(folder, self._rank).apply(found)
        return found

    def _take(
        self, name: str, tiles: Any, known: Manifest | None, source: Path
    ) -> dict[str, Any] | None:
        """Have the image of a scene from `source`, if it is by the same tiles; its entry there."""
        entry = known.scenes.get(name, {}) if known else {}
        # Nodata is unknown where nothing is predicted, and where the journal's line was lost.
        if entry.get("tiles") != tiles or entry.get("nodata") is None:
            # An image of other tiles must be gone before the manifest claims it for these.
            image_path(self.at, name).unlink(missing_ok=True)
            return None
        image = image_path(source, name)
        if source != self.at and image.exists():
            with naming(image_path(self.at, name)):
                share(image, self.at)
        return entry

    def is_missing(self, scene: SceneKey) -> bool:
        """Whether a scene is still to be predicted, in a folder that has been claimed."""
        return scene not in self._intact

    def manifest(self) -> Manifest:
        """The folder's manifest."""
        return read_manifest(self.at, _REMEDY)

    def add(self, reading: Reading, given: Input, writer: Writer) -> int:
        """Predict a scene, or keep it until a batch is full; returns how many were predicted.

        Args:
            reading: of the scene.
            given: what this job's `planes` made of it.
            writer: writes its image.
        """
        if reading.scene.key not in self.todo:
            return 0
        self.todo.discard(reading.scene.key)
        return self._write(self.batches.add(reading, given), writer)

    def reject(self, scene: Scene, rejection: Rejection) -> None:
        """Leave a scene out; the manifest records why."""
        if scene.key in self.todo:
            self.todo.discard(scene.key)
            self._journal.add_rejection(scene.key, rejection)

    def flush(self, writer: Writer) -> int:
        """Predict the scenes that wait for a full batch; returns how many there were."""
        return self._write(self.batches.flush(), writer)

    def finish(self) -> None:
        """Enter what every process did into the manifest, and check that nothing is missing.

        Raises:
            CheckError: a scene is neither predicted nor left out.
        """
        manifest = self.manifest()
        self._journal.apply(manifest)
        for item in manifest.rejected:
            manifest.scenes.pop(item["scene"], None)
        scenes = manifest.scenes
        missing = [
            scene
            for scene, entry in scenes.items()
            if entry["nodata"] is None or not image_path(self.at, scene).exists()
        ]
        if missing:
            raise CheckError(
                f"{self.folder}: {len(missing)} of {len(scenes)} scenes are missing, "
                f"{missing[0]} first\n  predict again; existing images are kept"
            )
        write_manifest(self.at, manifest)
        self._journal.clear()

    def take_place(self) -> None:
        """Give a finished set that was made beside its folder that folder's place."""
        if self.is_staged:
            replace_folder(self.at, Path(os.path.realpath(self.folder)))

    def discard(self) -> None:
        """Remove a set that was made beside its folder."""
        if self.is_staged:
            shutil.rmtree(self.at)

    def _find_intact(
        self, scenes: Mapping[SceneKey, Scene], manifest: Manifest
    ) -> frozenset[SceneKey]:
        """The scenes whose images are there, as they were predicted; names those that are not."""

        def look(scene: SceneKey) -> SceneKey | InputError | None:
            path = image_path(self.at, scene)
            if not path.exists():
                return None
            try:
                read_image(path, manifest.scenes[str(scene)].get("sha256"), _REMEDY)
            except InputError as error:
                return error
            return scene

        found = [*map_ahead(look, scenes, threads=_CHECKERS, depth=2 * _CHECKERS)]
        for error in found:
            if isinstance(error, InputError):
                self._report(f"{error.where}: {error.problem}; it is predicted again")
        return frozenset(each for each in found if isinstance(each, SceneKey))

    def _new_manifest(self, data: Path, runs: Path) -> Manifest:
        variant = self.weights.variant
        return Manifest(
            variant=variant.name,
            weights_sha256=self.weights.sha256,
            pairs_sha256=read_pairs_sha256(runs / variant.name),
            config=to_record(variant),
            scaling=SCALING,
            flips=self._flips,
            target=variant.target,
            colors=self.weights.colors,
            input=str(data.resolve()),
            engines=[],
            rejected=[],
            scenes={},
            trained_on=None,
        )

    def _check_same(self, new: Manifest) -> None:
        """Refuse a folder with images of another set, and weights that are damaged."""
        if not manifest_path(self.folder).exists() or not any(image_paths(self.folder)):
            return
        old = read_manifest(self.folder, _REMEDY)
        if problem := difference(old, new):
            self.weights.tensors()  # damaged weights are other ones too
            keep = f"--flips {old.flips} to go on with them, " if old.flips != new.flips else ""
            remedy = f"give {keep}--overwrite, or another folder with --predictions"
            raise BusyError(f"{self.folder}: {problem}\n  {remedy}")

    def _record(self, engine: Engine) -> None:
        """Before the images, so that none is by an engine that the manifest does not name."""
        what = (engine.name, engine.spec, engine.plan)
        if what not in self._recorded:
            self._journal.add_engine(engine.describe())
            self._recorded.add(what)

    def _write(self, predicted: Sequence[Predicted], writer: Writer) -> int:
        for reading, given, image in predicted:
            coarse = {"float16": True} if reading.float16 else {}
            known = reading.nodata, reading.values.tolist(), given.facts | coarse
            record = partial(self._journal.add_scene, reading.scene.key, *known)
            writer.put(image_path(self.at, reading.scene.key), image, record)
        return len(predicted)
