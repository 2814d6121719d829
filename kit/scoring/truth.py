"""What the predictions are compared with: optical tiles, or the server's mapping.

In: the image names of an archive, and either official Sentinel-2 tiles, in a folder of TIFFs and
NetCDF files or in one such file, or the JSON mapping of the 2022 or the 2023 server. Out: for each
SAR input its submitted images and its truths, as paths; pixels are read when they are scored.
Refused by name: tiles of other places or dates, a mapping of another shape, a truth or a submission
that is not there.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from kit.archive.contents import require_one_folder
from kit.archive.mapping import TRUTH_REMEDY, SarInput, Truth, TruthSet, read_mapping, scene_in
from kit.errors import InputError
from kit.pairs.clear import Clear, clear_truths
from kit.progress import Advance
from kit.screening.counts import COLUMNS, count
from kit.storage.walk import walk
from kit.tiles import netcdf
from kit.tiles.names import BANDS, RGB_BANDS, SUFFIXES, SceneKey, TileName
from kit.tiles.reader import read_scene

OUTSIDE = "outside the window of days"


def load_truth(
    path: Path,
    images: Sequence[str],
    window_days: int = 7,
    advance: Advance | None = None,
    *,
    work: Path | None = None,
) -> TruthSet:
    """Find the truths of an archive's images.

    Args:
        path: a folder of Sentinel-2 tiles or one NetCDF file of them, or the JSON mapping of the
            2022 or 2023 server.
        images: the names of the archive's images.
        window_days: for tiles, how far a truth may be from the SAR date, either way, inclusive.
        advance: called with the truths examined for clouds, and their number.
        work: for tiles, the folder of tables whose pairs say what counts as clear, see
            `kit.pairs.clear.clear_truths`; the usual rule if None.

    Raises:
        InputError: there is no truth for any image, an image cannot be told from another, or the
            mapping, a file of it or the summary in `work` is not usable.
    """
    if path.is_dir() or path.suffix == netcdf.SUFFIX:
        require_one_folder(images)
        clear = clear_truths(path, work)
        return _from_tiles(path, images, window_days, clear, advance)
    inputs = read_mapping(path, images)
    listed = {name for sar in inputs for name in sar.submissions}
    if missing := sorted(listed.difference(images)):
        problem = (
            f"the archive lacks {len(missing)} of its {len(listed)} images, {missing[0]} first"
        )
        raise InputError(
            path, problem, remedy="package with --expected and the server's list of names"
        )
    for sar in inputs:
        for file in (file for truth in sar.truths for file in truth.paths):
            if isinstance(file, Path) and not file.is_file():
                raise InputError(
                    file, "no such truth", remedy=f"{path.name} lists it for {sar.name}"
                )
    return TruthSet(inputs, tuple(sorted(set(images) - listed)))


def _from_tiles(
    source: Path, images: Sequence[str], window_days: int, clear: Clear, advance: Advance | None
) -> TruthSet:
    submissions: dict[SceneKey, list[str]] = defaultdict(list)
    for image in images:
        if (key := scene_in(image)) is None:
            raise InputError(
                image, "has no place and date in its name", remedy="a folder of truths needs them"
            )
        submissions[key].append(image)
    tiles = _scan(source)
    near = _near(submissions, tiles, window_days)
    candidates = sorted({scene for scenes in near.values() for scene in scenes})
    problems: dict[SceneKey, str] = {}
    for done, scene in enumerate(candidates, 1):
        problems[scene] = _problem(tiles[scene], clear)
        if advance:
            advance(done, len(candidates))
    inputs = []
    for key, scenes in near.items():
        names = tuple(submissions[key])
        if truths := tuple(
            Truth(str(scene), tuple(tiles[scene][band] for band in RGB_BANDS), names)
            for scene in scenes
            if not problems[scene]
        ):
            inputs.append(SarInput(str(key), names, truths))
    if not inputs:
        raise _nothing_near(source, near, tiles, window_days, problems, clear)
    scored = {sar.name for sar in inputs}
    places = {key.place for key in near}
    here = sum(scene.place in places for scene in tiles)
    left_out = Counter(filter(None, problems.values())) + Counter({OUTSIDE: here - len(problems)})
    unscored = tuple(str(key) for key in near if str(key) not in scored)
    return TruthSet(tuple(inputs), unscored, clear.text, dict(left_out))


def _scan(source: Path) -> dict[SceneKey, dict[str, Path | netcdf.Plane]]:
    tiles: dict[SceneKey, dict[str, Path | netcdf.Plane]] = defaultdict(dict)
    for name, path in _tiles(source):
        if name.sensor == "Sentinel2" and name.band in BANDS["Sentinel2"]:
            tiles[name.scene].setdefault(name.band, path)
    complete = {key: bands for key, bands in tiles.items() if bands.keys() >= set(RGB_BANDS)}
    if not complete:
        raise InputError(source, f"holds no scene with {', '.join(RGB_BANDS)}", remedy=TRUTH_REMEDY)
    return complete


def _tiles(source: Path) -> Iterator[tuple[TileName, Path | netcdf.Plane]]:
    """All tiles in a folder and the folders in it, or in one NetCDF file; TIFFs come first."""
    files = _files(source)
    for path in files:
        if path.name.startswith("Sentinel2_") and path.suffix in SUFFIXES:
            # A folder of truths may hold other files too.
            with suppress(InputError):
                yield TileName.parse(path.name), path
    for file in (path for path in files if path.suffix == netcdf.SUFFIX):
        head = netcdf.read_head(str(file))
        bands = [band for band in BANDS.get(head.sensor, ()) if band in head.bands]
        for index, place in enumerate(netcdf.read_places(str(file)) if bands else ()):
            if isinstance(place, InputError):
                continue
            scene = SceneKey.parse("_".join(place))
            for band in bands:
                plane = netcdf.Plane(str(file), head.sensor, band, place, index)
                yield TileName(head.sensor, band, scene), plane


def _files(source: Path) -> list[Path]:
    """The files in a folder and in all below it, linked ones too but each once; or one file."""
    if not source.is_dir():
        return [source]
    return sorted(Path(entry.path) for entry in walk(source, links="once"))


def _near(
    keys: Iterable[SceneKey], scenes: Iterable[SceneKey], window_days: int
) -> dict[SceneKey, list[SceneKey]]:
    at: dict[tuple[str, str], list[SceneKey]] = defaultdict(list)
    for scene in sorted(scenes):
        at[scene.place].append(scene)
    return {
        key: [s for s in at[key.place] if abs((s.date - key.date).days) <= window_days]
        for key in sorted(keys)
    }


def _problem(tiles: Mapping[str, Path | netcdf.Plane], clear: Clear) -> str:
    """Why a truth is left out; empty if it is clear."""
    paths = [tiles[band] for band in BANDS["Sentinel2"] if band in tiles]
    scene = read_scene("Sentinel2", paths)
    qa60 = scene[3:] if len(scene) > 3 else np.zeros_like(scene[:1])
    counts = dict(zip(COLUMNS, count(scene[None, :3], qa60, clear.rule)[0], strict=True))
    if counts["nodata"]:
        return "nodata"
    if counts["qa60"]:
        return "QA60"
    cloudy = counts["cloud"] / scene[0].size > clear.max_cloud
    return "cloud by the rule" if cloudy else ""


def _nothing_near(
    folder: Path,
    near: Mapping[SceneKey, Sequence[SceneKey]],
    scenes: Iterable[SceneKey],
    window_days: int,
    problems: Mapping[SceneKey, str],
    clear: Clear,
) -> InputError:
    if problems:
        tally = ", ".join(f"{n} {reason}" for reason, n in Counter(problems.values()).items())
        problem = f"every truth within {window_days} days of a prediction is left out: {tally}"
        remedy = f"widen the window, or give more dates; {clear.text}"
        return InputError(folder, problem, remedy=remedy)
    for scene in sorted(scenes):
        for key in near:
            if key.place == scene.place:
                problem = f"no truth within {window_days} days: {key} is predicted, {scene} is true"
                return InputError(folder, problem, remedy="widen the window, or give more dates")
    key, scene = min(near), min(scenes)
    problem = (
        f"holds other places: {key.lon}_{key.lat} is predicted, {scene.lon}_{scene.lat} is true"
    )
    return InputError(folder, problem, remedy="give the truth of the predicted scenes")
