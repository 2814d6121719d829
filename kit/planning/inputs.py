"""What DATA and TEST of `kit compete` are, looked at before any hour is spent.

In: the request. Out: how many scenes there are, and the hold-out that is like TEST. Refused by
name: TEST without radar scenes, or of another size than the layout takes; names of the server that
no scene of TEST has; and a folder that was prepared from other tiles, by another source, or with
other cloud options.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kit.archive.expected import read_expected
from kit.archive.layout import Layout, find_layout
from kit.errors import InputError
from kit.fitting.objectives import OBJECTIVES
from kit.ground import sharing_ground
from kit.hours import seconds_of
from kit.pairs.summary import SUMMARY, read_summary
from kit.pairs.table import Pair
from kit.prediction.ensembles import check_name
from kit.progress import Report
from kit.screening import ukis
from kit.screening.detector import Detector
from kit.screening.rule import CloudRule
from kit.sources.count import count_pairs, measure_radar
from kit.sources.definition import find_definition
from kit.sources.detect import CHALLENGE
from kit.sources.folder import is_made_by
from kit.sources.origin import read_origin
from kit.storage.files import SUBMISSIONS, WORK
from kit.tiles.bands import usual_size
from kit.tiles.catalog import catalog
from kit.tiles.extent import first_side
from kit.tiles.names import SceneKey
from kit.tiles.reader import read_scene
from kit.tiles.rejection import REJECTED, read_rejected

_MOST, _FEW = 0.9, 0.1  # of the test scenes, from which on all or none count as of seen places


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    `measure` is what counts, that of the layout if None; `name` that of the ensemble and archive;
    `source` the layout of DATA and of TEST, None to find it out; `min_area` and `detector` what
    screening DATA takes.
    """

    data: Path
    test: Path
    hours: float
    layout: str = "2022"
    expected: Path | None = None
    measure: str | None = None
    name: str = "compete"
    source: str | None = None
    min_area: int = CloudRule().min_area
    detector: Detector | None = None

    @property
    def archive(self) -> Path:
        """The archive to be."""
        return SUBMISSIONS / f"{self.name}.zip"

    @property
    def fitted_measure(self) -> str:
        """The measure that the ensemble is fitted for."""
        return self.measure or find_layout(self.layout).measure

    @property
    def source_options(self) -> tuple[str, ...]:
        """The options of commands that read TEST or DATA."""
        return ("--source", self.source) if self.source else ()

    @property
    def clouds(self) -> dict[str, Any]:
        """What says what a cloud is, by the names that `summary.json` has for it; not defaults."""
        found: dict[str, Any] = {}
        if self.min_area != CloudRule().min_area:
            found["min_area"] = self.min_area
        if self.detector:
            found["detector"] = asdict(self.detector)
        return found

    @property
    def cloud_options(self) -> tuple[str, ...]:
        """The same as options of `kit screen` and `kit prepare`."""
        words: tuple[str, ...] = ()
        if "min_area" in self.clouds:
            words += ("--min-area", str(self.min_area))
        if self.detector:
            words += ("--detector", self.detector.name)
            words += ("--detector-on", self.detector.on) if self.detector.on != "passed" else ()
        return words


@dataclass(frozen=True, slots=True)
class Radar:
    """The radar scenes of TEST: how many, the size of most, and the side of their ground.

    `keys` are none where they are images of another layout.
    """

    number: int
    height: int
    width: int
    side: int
    keys: tuple[SceneKey, ...] = ()


@dataclass(frozen=True, slots=True)
class ToPredict:
    """The radar scenes of TEST, and how many of them show ground, or are scenes, of DATA.

    `optical` are the optical scenes of DATA; `split` is the hold-out that is like TEST. `converted`
    says that DATA is of another layout, so that `kit prepare` makes tiles of it and decides.
    """

    scenes: int
    optical: int
    seen: int = 0
    same: int = 0
    split: str = "blocks"
    converted: bool = False

    @property
    def recurs(self) -> bool:
        """Whether what the ground of DATA looked like before tells much of TEST."""
        return self.seen > _FEW * self.scenes


def find_radar(test: Path, source: str | None = None) -> Radar:
    """The radar scenes of a folder of tiles, or of images of another layout.

    Raises:
        InputError: it holds none, or none can be read.
    """
    if images := measure_radar(test, source):
        number, height, width = images
        return Radar(number, height, width, max(height, width))
    scenes = catalog(test).of("Sentinel1")
    if not scenes:
        remedy = "TEST needs VV and VH of the scenes that are to be predicted"
        raise InputError(test, "holds no complete Sentinel-1 scene", remedy=remedy)
    files = [scene.files[0] for scene in scenes]
    # Where no header can be read, reading the first scene says why.
    size = usual_size(files) or read_scene("Sentinel1", scenes[0].files).shape[1:]
    height, width = size
    side = first_side(files, (height, width))
    return Radar(len(scenes), height, width, side, tuple(scene.key for scene in scenes))


def recur(radar: Radar, pairs: Iterable[Pair]) -> bool:
    """Whether radar scenes show enough of the places of pairs; False where theirs are not known."""
    optical = [pair.optical for pair in pairs]
    return bool(radar.keys) and compare(radar.keys, optical, radar.side).recurs


def check_request(request: Request, report: Report) -> ToPredict:
    """Refuse what could not be used after hours of training.

    Raises:
        InputError: says what.
    """
    layout = find_layout(request.layout)
    seconds_of(request.hours)
    check_name(request.name)
    if request.fitted_measure not in OBJECTIVES:
        remedy = f"give --measure, one of {', '.join(OBJECTIVES)}"
        raise InputError(request.fitted_measure, "no ensemble can be fitted for it", remedy=remedy)
    radar = find_radar(request.test, request.source)
    if layout.size and (radar.height, radar.width) != (layout.size, layout.size):
        problem = f"has tiles of {radar.height}x{radar.width}, where layout {layout.name} takes "
        remedy = "give --layout plain, or a TOML file of your own with another size"
        raise InputError(request.test, f"{problem}{layout.size}", remedy=remedy)
    if request.expected:
        _check_expected(request.expected, layout, request.test, radar)
    _check_prepared(request)
    if request.detector:
        ukis.version()
    pairs = count_pairs(request.data, request.source)
    if pairs is not None:
        return ToPredict(radar.number, pairs, converted=True)
    optical = [scene.key for scene in catalog(request.data).of("Sentinel2")]
    _report_others(request, len(optical), report)
    if not radar.keys:
        return ToPredict(radar.number, len(optical))
    test = compare(radar.keys, optical, radar.side)
    if test.seen:
        report(
            f"{request.test}: {test.seen} of {test.scenes} radar scenes show ground of "
            f"{request.data}, so that a hold-out is of --split {test.split}"
        )
    if test.same:
        report(
            f"warning: of {test.same} of them {request.data} has the optical scene itself: what "
            "is trained on these is no forecast"
        )
    return test


def compare(scenes: tuple[SceneKey, ...], optical: list[SceneKey], side: int) -> ToPredict:
    """How the scenes to predict lie to those to train on, and the hold-out that is like them.

    Args:
        scenes: to predict.
        optical: to train on.
        side: of the ground of a scene, in pixels of 10 m.
    """
    places = {key.place for key in optical}
    near = sharing_ground([key.place for key in scenes], places, side)
    seen = sum(key.place in near for key in scenes)
    share = seen / len(scenes)
    split = "dates" if share > _MOST else "both" if share > _FEW else "blocks"
    if not have_dates(optical):
        split = "blocks"
    return ToPredict(len(scenes), len(optical), seen, len({*scenes} & {*optical}), split)


def have_dates(optical: Iterable[SceneKey]) -> bool:
    """Whether half of the places or more have another date that could be held out."""
    dates = Counter(key.place for key in optical)
    return sum(count > 1 for count in dates.values()) >= len(dates) / 2


def _check_expected(expected: Path, layout: Layout, test: Path, radar: Radar) -> None:
    """Refuse names of the server that no scene has."""
    if not radar.keys:
        problem = f"names scenes of tiles, and {test} holds images of another layout"
        raise InputError(expected, problem, remedy="leave --expected out")
    listed, known = read_expected(expected, layout), set(radar.keys)
    if missing := [name for name, scene in listed.items() if scene not in known]:
        problem = f"{len(missing)} of {len(listed)} names are of no scene in {test}"
        remedy = f"give the list of the server for these tiles, or all tiles of it in {test}"
        raise InputError(expected, f"{problem}: {', '.join(missing[:3])}", remedy=remedy)


def _check_prepared(request: Request) -> None:
    """Refuse a folder that was prepared from other data, or with other options."""
    if not (WORK / SUMMARY).exists():
        return
    summary = read_summary(WORK / SUMMARY)
    before = Path(str(summary.get("data")))
    before = read_origin(before) or before
    if before.resolve() != request.data.resolve():
        problem = f"holds the pairs of {before}, not of {request.data}"
        raise InputError(WORK, problem, remedy="go on with those, or work in a folder of its own")
    settings = summary.get("settings", {})
    other = [name for name, value in request.clouds.items() if settings.get(name) != value]
    if request.source and _is_other_source(request.source, summary):
        other.append("source")
    if other:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in other)
        problem = f"holds pairs that were not prepared with this {options}"
        remedy = f"leave {options} out to go on with these, or first run "
        raise InputError(WORK, problem, remedy=remedy + _prepare_again(request, summary))


def _report_others(request: Request, optical: int, report: Report) -> None:
    """Say that tiles have come or gone since they were prepared; what was prepared stays."""
    if not (WORK / SUMMARY).exists():
        return
    summary = read_summary(WORK / SUMMARY)
    listed = read_rejected(WORK / REJECTED)
    unreadable = sum(
        item.kind == "unreadable" and item.name.startswith("Sentinel2 ") for item in listed
    )
    then = summary.get("scenes_s2", 0) + unreadable
    if then != optical:
        report(
            f"{request.data}: has {optical} optical scenes, and the tables of {WORK} are of {then} "
            f"and stay as they are; for those of now first: {_prepare_again(request, summary)}"
        )


def _is_other_source(source: str, summary: Mapping[str, Any]) -> bool:
    """Whether pairs are of another source, or of one whose definition was another then."""
    then, now = summary.get("settings", {}).get("source"), find_definition(source)
    if now.name != (then or CHALLENGE):
        return True
    return then is not None and not is_made_by(Path(str(summary.get("data"))), now)


def _prepare_again(request: Request, summary: Mapping[str, Any]) -> str:
    """The command that prepares DATA as is asked for, and else as it was prepared."""
    settings = summary.get("settings", {})
    kept = request
    if "min_area" in settings and "min_area" not in request.clouds:
        kept = replace(kept, min_area=settings["min_area"])
    if "detector" in settings and not request.detector:
        kept = replace(kept, detector=Detector(**settings["detector"]))
    split, held = settings.get("split"), summary.get("holdout")
    if split == "source" or held == summary.get("dataset2", 0) // 5:
        held = None  # what the source, or nobody, says
    return shlex.join(
        (
            "kit",
            "prepare",
            str(request.data),
            *(("--source", request.source) if request.source else ()),
            *kept.cloud_options,
            *(("--split", split) if split in ("dates", "both") else ()),
            *(("--holdout", str(held)) if held is not None else ()),
        )
    )
