"""What there is of a place or a scene, wherever the kit has left something of it.

In: subjects, and the folders to look in. Out: a view of each pair, and of each scene that is in
none, with pixels. A tile that cannot be read is reported and left out. Refused by name: what is in
no table and no folder, with the reason if screening has left it out.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import InputError
from kit.pairs.clear import clear_pairs
from kit.pairs.open_pairs import open_pairs
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.progress import Report
from kit.scoring.truth import load_truth
from kit.screening.rule import CloudRule
from kit.screening.table import SCENES, read_screened_at
from kit.showing.stored import Stored
from kit.showing.subject import Subject
from kit.showing.view import Pixels, View
from kit.tiles.bands import scene_grid
from kit.tiles.catalog import catalog
from kit.tiles.named_grid import named_grid
from kit.tiles.names import SceneKey
from kit.tiles.reader import read_scene
from kit.tiles.rejection import REJECTED, read_rejected
from kit.tiles.scenes import Scene

# The radar and the optical scene of a view, and their pair.
_Parts = tuple[Scene | None, Scene | None, Pair | None]
_FETCH = "fetch them again"
_NEAREST = 10


@dataclass(frozen=True, slots=True)
class Folders:
    """Where to look: tables, runs, predictions; tiles and truths beside what was screened.

    Truths of the first folder count where several have them.
    """

    work: Path
    runs: Path
    predictions: Path
    ensembles: Path
    tiles: tuple[Path, ...] = ()
    truths: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Found:
    """Scenes by place and date, pairs, and the truth of radar scenes that are in no pair."""

    radar: dict[SceneKey, Scene] = field(default_factory=dict)
    optical: dict[SceneKey, Scene] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    truths: dict[SceneKey, Scene] = field(default_factory=dict)

    def add(self, scene: Scene) -> None:
        """Take a scene in, unless it is there already."""
        there = self.radar if scene.sensor == "Sentinel1" else self.optical
        there.setdefault(scene.key, scene)

    def parts(self, subject: Subject) -> Iterator[_Parts]:
        """Radar and optical scene and the pair of each view of a subject."""
        radar, optical = set(), set()
        for pair in self.pairs:
            if subject.admits(pair.radar) or subject.admits(pair.optical):
                radar.add(pair.radar)
                optical.add(pair.optical)
                yield self.radar[pair.radar], self.optical[pair.optical], pair
        for key, scene in self.radar.items():
            if subject.admits(key) and key not in radar:
                yield scene, self.truths.get(key), None
        for key, scene in self.optical.items():
            if subject.admits(key) and key not in optical:
                yield None, scene, None


def find(subjects: Sequence[Subject], folders: Folders, report: Report) -> tuple[View, ...]:
    """A view of everything that the subjects name, each by date.

    Args:
        subjects: places, or scenes.
        folders: where to look.
        report: takes a line about what cannot be read.

    Raises:
        InputError: there is nothing of a subject, or nothing that can be read; or a table is
            damaged.
    """
    stored = Stored.read(folders.predictions, folders.ensembles, folders.runs, report)
    found = _search(subjects, folders, stored)
    for subject in subjects:
        if not any(found.parts(subject)):
            raise _nothing(subject, folders, found)
    for truth in folders.truths:
        _add_truths(found, truth, folders.work, report)
    parts: list[_Parts] = []
    for subject in subjects:
        own = sorted(found.parts(subject), key=_date)
        parts += [each for each in own if each not in parts]
    rule = clear_pairs(folders.work).rule
    opener = _Opener(folders.work, rule, stored, _reasons(folders.work), report)
    views = [view for each in parts if (view := opener.view(*each))]
    if not views:
        raise InputError(str(subjects[0]), "none of its tiles can be read", remedy=_FETCH)
    return tuple(views)


def _search(subjects: Sequence[Subject], folders: Folders, stored: Stored) -> _Found:
    """The scenes and pairs in tables, in folders that were predicted from, and in `tiles`."""
    found = _Found()
    places = {subject.place for subject in subjects}
    if (folders.work / SCENES).exists():
        for row in read_screened_at(folders.work / SCENES, places):
            found.add(row.scene)
    if (folders.work / PAIRS).exists():
        found.pairs = [pair for pair in read_pairs(folders.work / PAIRS) if pair.place in places]
    for pair in found.pairs:
        radar, optical = (
            tuple(str(file) if isinstance(file, Path) else file for file in files)
            for files in (pair.radar_paths, pair.optical_paths)
        )
        found.add(Scene("Sentinel1", pair.radar, radar))
        found.add(Scene("Sentinel2", pair.optical, optical))
    for folder in dict.fromkeys((*folders.tiles, *stored.inputs(places, found.radar))):
        if folder not in folders.tiles and not folder.exists():
            stored.report(f"{folder}: is gone; what was predicted from it has no radar here")
            continue
        for scene in catalog(folder).scenes:
            if scene.key.place in places:
                found.add(scene)
    return found


def _add_truths(found: _Found, truth: Path, work: Path, report: Report) -> None:
    """Find the truth of radar scenes that are in no pair, the nearest in date."""
    paired = {pair.radar for pair in found.pairs}
    known = {*paired, *found.truths}
    names = {f"{key}.tiff": key for key in found.radar if key not in known}
    try:
        inputs = load_truth(truth, [*names], work=work).inputs if names else ()
    except InputError as error:
        report(f"{error.where}: {error.problem}")
        return
    for sar in inputs:
        nearest = sar.nearest(sar.submissions[0])
        files = tuple(str(file) if isinstance(file, Path) else file for file in nearest.paths)
        scene = Scene("Sentinel2", SceneKey.parse(nearest.name), files)
        found.truths[names[sar.submissions[0]]] = scene


def _nothing(subject: Subject, folders: Folders, found: _Found) -> InputError:
    """The error for a subject of which there is nothing."""
    for name, reason in _reasons(folders.work).items():
        if str(subject) in name:
            remedy = f"{folders.work / REJECTED} lists all that was left out"
            return InputError(str(subject), f"{name} was left out: {reason}", remedy=remedy)
    if subject.image:
        problem = f"became {subject}, of which neither tiles nor predictions are there"
        return InputError(subject.image, problem, remedy="run: kit prepare DATA, or kit predict")
    scenes = sorted({*found.radar, *found.optical})
    if wanted := subject.scene:
        scenes.sort(key=lambda key: abs(key.date - wanted.date))
    known = [*map(str, scenes)]
    if not known and (folders.work / PAIRS).exists():
        places = {pair.place for pair in read_pairs(folders.work / PAIRS)}
        known = ["_".join(place) for place in sorted(places, key=subject.distance)]
    nearest = f"the nearest are {', '.join(known[:_NEAREST])}; " if known else ""
    remedy = f"{nearest}--input TEST looks in a folder of tiles too"
    return InputError(str(subject), "no such place or scene", remedy=remedy)


def _reasons(work: Path) -> dict[str, str]:
    """Why scenes were left out, by sensor and scene."""
    return {item.name: f"{item.kind} ({item.reason})" for item in read_rejected(work / REJECTED)}


def _date(parts: _Parts) -> datetime.date:
    one = parts[0] or parts[1]
    assert one
    return one.key.date


@dataclass(frozen=True, slots=True)
class _Opener:
    """Makes views: reads the pixels of scenes, and their predictions."""

    work: Path
    rule: CloudRule
    stored: Stored
    reasons: Mapping[str, str]
    report: Report

    def view(self, radar: Scene | None, optical: Scene | None, pair: Pair | None) -> View | None:
        """A view of what can be read; None if nothing can."""
        opened = [self._open(scene, pair) if scene else None for scene in (radar, optical)]
        if not any(opened):
            return None
        keys = radar.key if radar else None, pair.optical if pair else None
        found = self.stored.of(*keys)
        scenes = [f"{scene.sensor} {scene.key}" for scene in (radar, optical) if scene]
        reason = next((self.reasons[name] for name in scenes if name in self.reasons), "")
        return View(opened[0], opened[1], pair, self.rule, found, "" if pair else reason)

    def _open(self, scene: Scene, pair: Pair | None) -> Pixels | None:
        try:
            values = read_scene(scene.sensor, scene.files)
            grid = scene_grid(scene.files)
        except InputError as error:
            packed = self._packed(scene, pair) if pair else None
            if packed is None:
                self.report(f"{error.where}: {error.problem}")
            return packed
        height, width = values.shape[1:]
        return Pixels(scene, values, grid or named_grid(scene.key.place, height, width))

    def _packed(self, scene: Scene, pair: Pair) -> Pixels | None:
        """The pixels of a scene of a pair in the pack, where its tiles are gone."""
        try:
            with open_pairs(self.work, [pair]).pixels(pair) as (radar, optical):
                values = (radar if scene.sensor == "Sentinel1" else optical).copy()
        except InputError:
            return None
        return Pixels(scene, values, named_grid(scene.key.place, pair.height, pair.width))
