"""Tiles and hours -> the best archive that they give, by the commands that one could type by hand.

In: DATA, TEST and hours. Out: `work/`, `plan.toml`, `runs/`, `ensembles/`, `predictions/` and
`submissions/` in the current folder. What is there already is not made again, so that the
command, killed and typed again, goes on. Refused by name, before any hour is spent: TEST
without radar scenes, names of the server that no scene of TEST has, and a folder that was prepared
from other tiles.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.archive.expected import read_expected
from kit.archive.layout import find_layout
from kit.archive.manifest import manifest_path
from kit.errors import InputError, KitError
from kit.files import FITTED, RUNS, SUBMISSIONS, WORK, write_bytes
from kit.fitting.objectives import OBJECTIVES
from kit.ground import sharing_ground
from kit.pairs.summary import SUMMARY, read_summary
from kit.pairs.table import PAIRS
from kit.planning.commands import hold
from kit.planning.outlook import Outlook, outlook
from kit.planning.plan import PLAN, Plan, Training, read_plan
from kit.planning.recipes import ALL_PAIRS_HOURS, FEW, OFFICIAL
from kit.prediction.ensembles import ensemble_path, read_ensemble
from kit.progress import Report
from kit.runs.folder import CONFIG, finished, read_variant
from kit.runs.weights import read_run
from kit.tiles.catalog import catalog
from kit.tiles.names import SceneKey
from kit.tiles.reader import read_scene
from kit.variant_settings import as_fold

SHEET, PAGE = Path("screen.png"), Path("report.html")
_PIXELS = 256  # along a tile, to see which share ground
_MOST, _FEW = 0.9, 0.1  # of the test scenes, from which on all or none count as of seen places


class CommandError(KitError):
    """A command failed; it has said why."""

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(f"{command} ended with exit code {exit_code}: see its message above")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    `measure` is what counts, that of the layout if None; `name` that of the ensemble and archive.
    """

    data: Path
    test: Path
    hours: float
    layout: str = "2022"
    expected: Path | None = None
    measure: str | None = None
    name: str = "compete"

    @property
    def archive(self) -> Path:
        """The archive to be."""
        return SUBMISSIONS / f"{self.name}.zip"

    @property
    def counted(self) -> str:
        """The measure that the ensemble is fitted for."""
        return self.measure or find_layout(self.layout).measure


@dataclass(frozen=True, slots=True)
class Step:
    """A command, whether what it makes is there already, and what is enough where it fails."""

    words: tuple[str, ...]
    done: bool = False
    enough: Callable[[], bool] = lambda: False

    def __str__(self) -> str:
        return " ".join(("kit", *self.words))


@dataclass(frozen=True, slots=True)
class Test:
    """The radar scenes of TEST, and how many of them show ground, or are scenes, of DATA.

    `optical` are the optical scenes of DATA; `split` is the hold-out that is like TEST.
    """

    scenes: int
    optical: int
    seen: int
    same: int
    split: str


def compete(
    request: Request, *, quiet: bool = False, dry_run: bool = False, report: Report
) -> Outlook | None:
    """Run every command from tiles to the checked archive, or with `dry_run` only report them.

    Args:
        request: tiles, hours and layout.
        quiet: pass `--quiet` to the commands.
        dry_run: run nothing.
        report: called with each command before it is run, and with what was found.

    Returns:
        The archive, the score that is expected of it, and what would improve it; None for a dry
        run.

    Raises:
        InputError: something that was given cannot be used.
        CommandError: a command failed, with its exit code.
        BusyError: another `kit compete` works in this folder.
        KeyboardInterrupt: a signal came; what was done is saved.
    """
    test = _checked(request, report)
    if dry_run:
        for step in _steps(request, test, time.monotonic(), report):
            report(f"{'done before' if step.done else 'would run'}: {step}")
        return None
    with hold(WORK, report) as commands:
        for step in _steps(request, test, time.monotonic(), report):
            if step.done:
                report(f"done before: {step}")
                continue
            report(f"$ {step}")
            code = commands.run((*step.words, *(("--quiet",) if quiet else ())))
            if code and not step.enough():
                raise CommandError(str(step), code)
    return outlook(request.archive, ensemble_path(FITTED, request.name), read_plan(PLAN))


def _checked(request: Request, report: Report) -> Test:
    """Refuse what could not be used after hours of training."""
    layout = find_layout(request.layout)
    if request.counted not in OBJECTIVES:
        remedy = f"give --measure, one of {', '.join(OBJECTIVES)}"
        raise InputError(request.counted, "no ensemble can be fitted for it", remedy=remedy)
    radar = catalog(request.test).of("Sentinel1")
    if not radar:
        remedy = "TEST needs VV and VH of the scenes that are to be predicted"
        raise InputError(request.test, "holds no complete Sentinel-1 scene", remedy=remedy)
    scenes = [scene.key for scene in radar]
    _, height, width = read_scene("Sentinel1", radar[0].files).shape
    if layout.size and (height, width) != (layout.size, layout.size):
        problem = f"has tiles of {height}x{width}, where layout {layout.name} takes {layout.size}"
        remedy = "give --layout plain, or a TOML file of your own with another size"
        raise InputError(request.test, problem, remedy=remedy)
    if request.expected:
        listed, known = read_expected(request.expected, layout), set(scenes)
        if missing := [name for name, scene in listed.items() if scene not in known]:
            problem = f"{len(missing)} of {len(listed)} names are of no scene in {request.test}"
            raise InputError(request.expected, f"{problem}: {', '.join(missing[:3])}")
    if (WORK / SUMMARY).exists():
        before = str(read_summary(WORK / SUMMARY).get("data"))
        if Path(before).resolve() != request.data.resolve():
            problem = f"holds the pairs of {before}, not of {request.data}"
            remedy = "go on with those, or work in a folder of its own"
            raise InputError(WORK, problem, remedy=remedy)
    optical = [scene.key for scene in catalog(request.data).of("Sentinel2")]
    test = _compared(scenes, optical)
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


def _compared(scenes: list[SceneKey], optical: list[SceneKey]) -> Test:
    """How the scenes to predict lie to those to train on, and the hold-out that is like them."""
    dates = Counter((key.lon, key.lat) for key in optical)
    near = sharing_ground([(key.lon, key.lat) for key in scenes], dates, _PIXELS)
    seen = sum((key.lon, key.lat) in near for key in scenes)
    share, several = seen / len(scenes), sum(count > 1 for count in dates.values())
    split = "dates" if share > _MOST else "both" if share > _FEW else "blocks"
    if several < len(dates) / 2:
        split = "blocks"  # few places have another date that could be held out
    return Test(len(scenes), len(optical), seen, len(set(scenes) & set(optical)), split)


def _steps(request: Request, test: Test, started: float, report: Report) -> Iterator[Step]:
    """The commands in order; each is asked for when those before it are done."""
    data, name, measure = str(request.data), request.name, request.counted
    prepared = (WORK / SUMMARY).exists() and (WORK / PAIRS).exists()
    yield Step(("screen", data, "--sheet", str(SHEET)), done=prepared)
    # Whoever has prepared them with other options goes on with these.
    options = () if prepared else ("--split", test.split, *_holdout(request, test))
    yield Step(("prepare", data, *options), done=prepared)
    hours = request.hours - (time.monotonic() - started) / 3600
    planning = ("--hours", f"{max(0.0, hours):.4g}", "--input", str(request.test))
    yield Step(("plan", *planning, "--measure", measure), done=PLAN.exists())
    if not PLAN.exists():  # of a dry run
        report("what follows depends on plan.toml; kit plan makes it of the pairs and this machine")
        return
    plan = read_plan(PLAN)
    _check_scored(plan)
    report(f"{PLAN}: {', '.join(each.name for each in plan.trainings)}, as it says")
    trained = {each.name: _trained(each, plan) for each in plan.trainings}
    if plan.pack:
        yield Step(("pack",), done=all(trained.values()))
    yield Step(
        ("train-all", "--plan", str(PLAN)),
        done=all(trained.values()),
        enough=lambda: any(_trained(each, plan) for each in plan.trainings),
    )
    trained = {each.name: _trained(each, plan) for each in plan.trainings}
    members = [each for each, is_trained in trained.items() if is_trained]
    if not all(trained.values()):
        failed = ", ".join(each for each, is_trained in trained.items() if not is_trained)
        report(f"not trained: {failed}" + ("; the others go on" if members else ""))
        members = members or [*trained]  # of a dry run; else kit fit says what is missing
    plan = _in_time(plan, started, request.hours, report)
    fitted = _fitted(name, measure, members)
    again = ("--overwrite",) if ensemble_path(FITTED, name).exists() else ()
    fit = ("fit", *members, "--measure", plan.measure, "--name", name, *again)
    yield Step(fit, done=fitted)
    packaged = fitted and _packaged(request)
    flips = ("--flips", str(plan.flips)) if plan.flips > 1 else ()
    predict = ("predict", "--ensemble", name, "--input", str(request.test), *flips)
    yield Step(predict, done=packaged)
    layout = ("--layout", request.layout)
    expected = ("--expected", str(request.expected)) if request.expected else ()
    again = ("--overwrite",) if request.archive.exists() else ()
    options = (*layout, *expected, *again, *_anchors(request, plan))
    package = ("package", "--ensemble", name, "--name", name, *options)
    yield Step(package, done=packaged)
    yield Step(("check", str(request.archive), *layout, *expected))
    yield Step(("report", "--output", str(PAGE)), enough=lambda: True)


def _holdout(request: Request, test: Test) -> tuple[str, ...]:
    """Few pairs are all trained on where there is time for folds, which then score."""
    few = test.optical <= FEW.most_pairs
    # A plan may be there first, written by hand or for other pairs.
    in_folds = read_plan(PLAN).folds > 1 if PLAN.exists() else request.hours >= ALL_PAIRS_HOURS
    return ("--holdout", "0") if few and in_folds else ()


def _anchors(request: Request, plan: Plan) -> tuple[str, ...]:
    """A server that stretches images does it to those that were fitted for MAE or PSNR too.

    Two pixels of each channel prevent it, which costs less than a thousandth of the MAE.
    """
    stretches = find_layout(request.layout).measure.startswith(OFFICIAL)
    fitted = plan.measure.startswith(OFFICIAL)  # to its space, and then with its own anchors
    return ("--stretch", "anchors") if stretches and not fitted else ()


def _check_scored(plan: Plan) -> None:
    """Refuse, before any hour is spent, a plan after which nothing could be scored or fitted."""
    if plan.folds > 1 or not (WORK / PAIRS).exists():
        return
    if not read_summary(WORK / SUMMARY).get("holdout"):
        problem = f"plans no folds, and no pair of {WORK / PAIRS} is held out, so none could score"
        remedy = "write folds = 5, or prepare with a hold-out: kit prepare DATA"
        raise InputError(PLAN, problem, remedy=remedy)


def _trained(training: Training, plan: Plan) -> bool:
    """Whether all runs of a training are finished."""
    folds = range(1, plan.folds + 1)
    runs = [as_fold(training.chosen, fold, plan.folds).name for fold in folds]
    for run in (*runs, *((training.name,) if plan.all_pairs else ())):
        folder = RUNS / run
        if not (folder / CONFIG).exists() or not finished(folder, read_variant(folder)):
            return False
    return True


def _in_time(plan: Plan, started: float, hours: float, report: Report) -> Plan:
    """The plan, with fewer views where training took so long that all of them would end late."""
    left = hours * 60 - (time.monotonic() - started) / 60
    after = sum(plan.minutes.get(part, 0.0) for part in ("fitting", "packaging"))
    predicting = plan.minutes.get("predicting", 0.0)
    views = plan.flips
    while views > 1 and after + predicting * views / plan.flips > left:
        views //= 2 if views == 8 else 4
    if views == plan.flips or any(Path("predictions").glob("*/manifest.json")):
        return plan
    report(f"late: {views} views of each scene in place of {plan.flips}, which {PLAN} now says")
    text = re.sub(r"(?m)^flips = \d+", f"flips = {views}", PLAN.read_text(encoding="utf-8-sig"))
    write_bytes(PLAN, text.encode())
    return read_plan(PLAN)


def _fitted(name: str, measure: str, members: list[str]) -> bool:
    """Whether the ensemble was fitted for this measure, to the weights that the runs have now."""
    path = ensemble_path(FITTED, name)
    if not path.exists():
        return False
    ensemble = read_ensemble(path)
    if ensemble.measure != measure or not ensemble.fitted or not {*ensemble.members} <= {*members}:
        return False
    weights = ensemble.fitted.weights
    return all(_sha256(run) == sha256 for run, sha256 in weights.items())


def _sha256(run: str) -> str:
    try:
        return read_run(RUNS, run).sha256
    except InputError:
        return ""


def _packaged(request: Request) -> bool:
    """Whether the archive and its manifest are newer than the ensemble that they are of."""
    made = [request.archive, manifest_path(request.archive)]
    if not all(path.exists() for path in made):
        return False
    fitted = ensemble_path(FITTED, request.name).stat().st_mtime
    return all(path.stat().st_mtime >= fitted for path in made)
