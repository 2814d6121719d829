"""What accuracy is measured on: folders of official tiles to learn from and to predict.

In: real pairs with a manifest, in folds; or the seed of a simulated world. Out: cases, each a
folder with `train/`, `test/` and `truth/`, and `groups.csv`, which says what belongs together.
"""

import csv
import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peers import Known, Scenes

import kit
from kit.errors import InputError
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.screening.rule import CloudRule
from kit.storage.files import write_json
from kit.tiles.bands import read_bands
from kit.tiles.catalog import catalog
from kit.tiles.names import SceneKey
from kit.tiles.netcdf import Plane

RULE = CloudRule(min_area=16)
_KEY = ("lon", "lat", "s2_date")


@dataclass(frozen=True, slots=True)
class Case:
    """One split into what is learnt from and what is predicted."""

    name: str
    folder: Path

    @property
    def train(self) -> Path:
        """Tiles of both sensors, to learn from."""
        return self.folder / "train"

    @property
    def test(self) -> Path:
        """Tiles of the radar, to predict."""
        return self.folder / "test"

    @property
    def truth(self) -> Path:
        """A server's list of the optical scene that each prediction should match, clear or not."""
        return self.folder / "truth" / "mapping.json"

    @property
    def groups(self) -> Path:
        """The table of what no fold may divide; there is none where places are all that counts."""
        return self.folder / "groups.csv"

    def known(self) -> Known:
        """The clear pairs to learn from, all of one size."""
        work = self.folder / "peers"
        if not (work / PAIRS).exists():
            kit.prepare(self.train, work, rule=RULE, holdout=0)
        pairs = [pair for pair in read_pairs(work / PAIRS) if pair.dataset2]
        radar = _scenes((pair.radar, pair.radar_paths) for pair in pairs)
        return Known(radar, np.stack([read_bands("Sentinel2", p.optical_paths) for p in pairs]))

    def asked(self) -> tuple[list[str], Scenes]:
        """The radar scenes to predict, and their names."""
        found = catalog(self.test).of("Sentinel1")
        return [str(s.key) for s in found], _scenes((scene.key, scene.paths) for scene in found)

    def seen(self) -> set[str]:
        """Of the scenes to predict, those whose places are learnt from too."""
        known = {place_of(scene.key) for scene in catalog(self.train).of("Sentinel2")}
        return {str(s.key) for s in catalog(self.test).of("Sentinel1") if place_of(s.key) in known}


def place_of(scene: SceneKey) -> str:
    """Longitude and latitude of a scene, in one text."""
    return f"{scene.lon} {scene.lat}"


def world(folder: Path, seed: int, *, seen: bool, places: int, size: int) -> Case:
    """A changing world: new places to predict, or new dates of places that are learnt from."""
    kind, few = "seen" if seen else "unseen", max(1, places // 3)
    case = Case(f"world {seed}, {kind}", folder / f"world-{seed}-{kind}-{places}-{size}")
    if not case.truth.exists():
        kit.simulate(
            case.folder, places=places, test_places=0 if seen else few,
            seen_test_places=few if seen else 0, dates=4, changing=True, size=size, seed=seed,
        )  # fmt: skip
        truths = [scene.key for scene in catalog(case.folder / "truth").of("Sentinel2")]
        _match(case, [(scene.key, _nearest(scene.key, truths))
                      for scene in catalog(case.test).of("Sentinel1")])  # fmt: skip
    return case


def folds(
    folder: Path, data: Path, columns: Sequence[str], exclude: Sequence[str], count: int
) -> list[Case]:
    """The clear pairs of `data` in folds, each predicted once from all others.

    Args:
        folder: where the cases are made.
        data: `sent1/`, `sent2/` and `manifest.csv` with lon, lat, s2_date and other columns.
        columns: of the manifest; pairs that have the same in all of these stay together. By place
            where none is given.
        exclude: columns that leave a pair out where they are not 0.
        count: how many folds.

    Raises:
        InputError: the manifest lacks a column or a pair, or there are fewer groups than folds.
    """
    rows = read_manifest(data / "manifest.csv", (*columns, *exclude))
    if not (folder / "work" / PAIRS).exists():
        kit.prepare(data, folder / "work", rule=RULE, holdout=0)
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in read_pairs(folder / "work" / PAIRS):
        key = row_key(pair)
        if key not in rows:
            raise InputError(data / "manifest.csv", f"has no row of {pair.optical}")
        row = rows[key]
        if pair.dataset2 and not any(row[name] not in ("0", "") for name in exclude):
            groups[" ".join(row[name] for name in columns) or " ".join(pair.place)].append(pair)
    parts = assign({name: len(pairs) for name, pairs in groups.items()}, count)
    cases = []
    for number in range(count):
        case = Case(f"fold {number + 1}", folder / f"fold-{number + 1}-of-{count}")
        if not case.truth.exists():
            _make(case, groups, {name for name, part in parts.items() if part == number})
        cases.append(case)
    return cases


def assign(sizes: dict[str, int], count: int) -> dict[str, int]:
    """A part, from 0, for each group: the largest first, each to what is smallest until then.

    Raises:
        InputError: there are fewer groups than parts.
    """
    if len(sizes) < count:
        problem = f"{len(sizes)} groups make no {count} folds"
        raise InputError("--groups", problem, remedy="give more columns, or fewer --folds")
    filled: Counter[int] = Counter()
    parts = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        parts[name] = min(range(count), key=lambda part: filled[part])
        filled[parts[name]] += sizes[name]
    return parts


def _make(case: Case, groups: dict[str, list[Pair]], held: set[str]) -> None:
    shutil.rmtree(case.folder, ignore_errors=True)
    learnt = [pair for name, pairs in groups.items() if name not in held for pair in pairs]
    known = {_radar_digest(pair) for pair in learnt}
    # Data sets hold a scene twice under two names; one that is learnt from is not predicted.
    asked = [pair for name in held for pair in groups[name] if _radar_digest(pair) not in known]
    _copy((pair.radar for pair in learnt), learnt[0].radar_paths[0], case.train / "sent1")
    _copy((pair.optical for pair in learnt), learnt[0].optical_paths[0], case.train / "sent2")
    _copy((pair.radar for pair in asked), asked[0].radar_paths[0], case.test / "sent1")
    _copy(
        (pair.optical for pair in asked), asked[0].optical_paths[0], case.folder / "truth" / "sent2"
    )
    with case.groups.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("lon", "lat", "group"))
        for name in sorted(groups.keys() - held):
            table.writerows(sorted({(*pair.place, name) for pair in groups[name]}))
    _match(case, [(pair.radar, pair.optical) for pair in asked])


def _match(case: Case, scenes: Iterable[tuple[SceneKey, SceneKey]]) -> None:
    """List the truth of each prediction, in the shape of the server of 2023; the case is made."""
    listed = {
        f"['Sentinel2_{radar}.tiff']": [f"sent2/Sentinel2_{optical}.tiff"]
        for radar, optical in scenes
    }
    write_json(case.truth, listed)


def _nearest(radar: SceneKey, truths: Iterable[SceneKey]) -> SceneKey:
    here = [truth for truth in truths if place_of(truth) == place_of(radar)]
    return min(here, key=lambda truth: abs((truth.date - radar.date).days))


def _copy(scenes: Iterable[SceneKey], beside: object, out: Path) -> None:
    """Copy all bands of some scenes from the folder in which one of their tiles lies."""
    folder = Path(str(beside)).parent
    out.mkdir(parents=True)
    for scene in scenes:
        for path in folder.glob(f"*_{scene}.tiff"):
            shutil.copyfile(path, out / path.name)


def _radar_digest(pair: Pair) -> str:
    return hashlib.sha256(read_bands("Sentinel1", pair.radar_paths).tobytes()).hexdigest()


def row_key(pair: Pair) -> tuple[str, ...]:
    """What the row of a pair is found by in what `read_manifest` returns."""
    return (*pair.place, pair.optical.date.strftime("%Y_%m_%d"))


def read_manifest(path: Path, columns: Sequence[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of a manifest, by longitude, latitude and date of the optical scene.

    Raises:
        InputError: it lacks one of those or of `columns`.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for column in (*_KEY, *columns):
        if not rows or column not in rows[0]:
            raise InputError(path, f"has no column {column!r}")
    return {tuple(row[name] for name in _KEY): row for row in rows}


def _scenes(found: Iterable[tuple[SceneKey, Sequence[Path | Plane]]]) -> Scenes:
    every = list(found)
    radar = [read_bands("Sentinel1", paths) for _, paths in every]
    days = np.array([key.date.timetuple().tm_yday for key, _ in every], float)
    return Scenes(np.stack(radar), days, [place_of(key) for key, _ in every])
