"""Tiles and hours -> the best archive that they give, by the commands that one could type by hand.

In: DATA, TEST and hours. Out: `work/`, `plan.toml`, `runs/`, `ensembles/`, `predictions/` and
`submissions/` in the current folder. What is there already is not made again, so that the
command, killed and typed again, goes on.
"""

import re
import shlex
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kit.archive.layout import find_layout
from kit.errors import InputError, KitError
from kit.metrics import is_official_measure
from kit.pairs.summary import SUMMARY, read_summary
from kit.pairs.table import PAIRS, read_pairs, train_pairs
from kit.plain_text import count_of, duration
from kit.planning.commands import hold
from kit.planning.inputs import Request, ToPredict, check_request, have_dates
from kit.planning.made import archive_state, ask, predictions_state
from kit.planning.outlook import Outlook, outlook
from kit.planning.plan import PLAN, Plan, read_plan
from kit.planning.recipes import (
    ALL_PAIRS,
    HELD_SHARE,
    LEAST_HELD,
    MOST_HELD,
    all_pairs_hours,
)
from kit.planning.scored import State, ensemble_state, is_validated
from kit.planning.trained import is_trained, refuse_others
from kit.prediction.combination import Stretch
from kit.prediction.ensembles import ensemble_path, read_ensemble
from kit.prediction.manifest import MANIFEST
from kit.progress import Report
from kit.screening.table import SCENES, clear_scenes
from kit.storage.files import FITTED, PREDICTIONS, WORK, output

_SAME_HOURS = 0.8, 1.01  # of those given: what came before the plan is not in it
_NEXT_TO_NOTHING = 0.02  # of the hours
SHEET, PAGE = Path("screen.png"), Path("report.html")


class CommandError(KitError):
    """A command failed; it has said why."""

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(f"{command} ended with exit code {exit_code}: see its message above")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Step:
    """A command, whether what it makes is there already, and what is enough where it fails."""

    words: tuple[str, ...]
    done: bool = False
    enough: Callable[[], bool] = lambda: False

    def __str__(self) -> str:
        return shlex.join(("kit", *self.words))


def dry_run(request: Request, *, report: Report) -> tuple[Step, ...]:
    """The commands that `compete` would run or has run, as far as is known; runs none.

    Without a plan they end with the one that makes it.

    Args:
        request: tiles, hours and layout.
        report: called with each command, and with what was found.

    Raises:
        InputError: something that was given cannot be used.
    """
    test = check_request(request, report)
    found = []
    for step in _steps(request, test, time.monotonic(), report, dry_run=True):
        report(f"{'done before' if step.done else 'would run'}: {step}")
        found.append(step)
    return tuple(found)


def compete(request: Request, *, quiet: bool = False, report: Report) -> Outlook:
    """Run every command from tiles to the checked archive.

    Args:
        request: tiles, hours and layout.
        quiet: pass `--quiet` to the commands.
        report: called with each command before it is run, and with what was found.

    Returns:
        The archive, the score that is expected of it, and what would improve it.

    Raises:
        InputError: something that was given cannot be used.
        CommandError: a command failed, with its exit code.
        BusyError: another `kit compete` works in this folder.
        KeyboardInterrupt: a signal came; what was done is saved.
    """
    test = check_request(request, report)
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


def _steps(
    request: Request, test: ToPredict, started: float, report: Report, *, dry_run: bool = False
) -> Iterator[Step]:
    """The commands in order; each is asked for when those before it are done."""
    plan = yield from _before_training(request, test, started, report)
    if plan is None:  # of a dry run
        report("what follows depends on plan.toml; kit plan makes it of the pairs and this machine")
        return
    members = yield from _training_steps(plan, report)
    if views := _fewer_views(plan, _left(started, request.hours)):
        what = f"late: {count_of(views, 'view')} of each scene in place of {plan.flips}"
        report(what if dry_run else f"{what}, which {PLAN} now says")
        plan = replace(plan, flips=views)
        if not dry_run:
            _note_views(views)
    yield from _archive_steps(request, plan, members, report)
    table1 = Step(
        ("validate", *members, "--measure", plan.measure),
        done=is_validated(plan.measure, members),
        enough=lambda: True,
    )
    # It scores the images that kit fit has had predicted, and baselines.
    if _left(started, request.hours) >= plan.minutes.get("fitting", 0.0):
        yield table1
    yield Step(("report", "--output", str(PAGE)), enough=lambda: True)


def _before_training(
    request: Request, test: ToPredict, started: float, report: Report
) -> Generator[Step, None, Plan | None]:
    """From tiles to the plan; None where a dry run has none."""
    data, measure, source = str(request.data), request.fitted_measure, request.source_options
    prepared = (WORK / SUMMARY).exists() and (WORK / PAIRS).exists()
    if PLAN.exists():
        _followed()
    if not test.converted:  # kit prepare makes tiles first, and screens these
        yield Step(("screen", data, *request.cloud_options, "--sheet", str(SHEET)), done=prepared)
    # Whoever has prepared them with other options goes on with these.
    options = () if prepared else _held_out(request, test, report)
    yield Step(("prepare", data, *source, *request.cloud_options, *options), done=prepared)
    hours = request.hours - (time.monotonic() - started) / 3600
    planning = ("--hours", f"{max(0.0, hours):.4g}", "--input", str(request.test), *source)
    planned = PLAN.exists()
    yield Step(("plan", *planning, "--measure", measure), done=planned)
    if not PLAN.exists():
        return None
    plan = _followed()  # of pairs that may be newer than before
    report(f"{PLAN}: {', '.join(each.name for each in plan.trainings)}, as it says")
    again = ("kit", "plan", *planning, "--measure", measure, "--overwrite")
    for problem in _other_plan(plan, request, made_now=not planned):
        report(f"{PLAN}: {problem}: {shlex.join(again)}")
    return plan


def _training_steps(plan: Plan, report: Report) -> Generator[Step, None, list[str]]:
    """The trainings of a plan; returns the members that they leave."""
    trained = {each.name: is_trained(each, plan) for each in plan.trainings}
    if plan.pack:
        yield Step(("pack",), done=all(trained.values()))
    yield Step(
        ("train-all", "--plan", str(PLAN)),
        done=all(trained.values()),
        enough=lambda: any(is_trained(each, plan) for each in plan.trainings),
    )
    trained = {each.name: is_trained(each, plan) for each in plan.trainings}
    members = [each for each, done in trained.items() if done]
    if not all(trained.values()):
        failed = ", ".join(each for each, done in trained.items() if not done)
        report(f"not trained: {failed}" + ("; the others go on" if members else ""))
        members = members or [*trained]  # of a dry run; else kit fit says what is missing
    return members


def _archive_steps(
    request: Request, plan: Plan, members: Sequence[str], report: Report
) -> Iterator[Step]:
    """From trained members to the checked archive."""
    name, source = request.name, request.source_options
    ensemble_file = ensemble_path(FITTED, name)
    fitted = ensemble_state(ensemble_file, plan.measure, members)
    _say_replaced(fitted, report)
    again = ("--overwrite",) if ensemble_file.exists() else ()
    fit = ("fit", *members, "--measure", plan.measure, "--name", name, *again)
    yield Step(fit, done=fitted.done)
    fitted = ensemble_state(ensemble_file, plan.measure, members)  # not yet done in a dry run
    ensemble = read_ensemble(ensemble_file) if fitted.done else None
    stretch = _stretch(request, plan)
    asked = ask(request, plan.flips, ensemble, stretch) if ensemble else None
    predicted = predictions_state(asked) if asked else State()
    flips = ("--flips", str(plan.flips)) if plan.flips > 1 else ()
    predict = ("predict", "--ensemble", name, "--input", str(request.test), *source, *flips)
    again = ("--overwrite",) if predicted.differs else ()
    _say_replaced(predicted, report)
    yield Step((*predict, *again), done=predicted.done)
    layout = ("--layout", request.layout)
    expected = ("--expected", str(request.expected)) if request.expected else ()
    again = ("--overwrite",) if request.archive.exists() else ()
    options = (*layout, *expected, *again, *(("--stretch", stretch) if stretch else ()))
    packaged = archive_state(asked) if asked and not predicted.differs else State()
    _say_replaced(packaged, report)
    package = ("package", "--ensemble", name, "--name", name, *options)
    yield Step(package, done=packaged.done)
    yield Step(("check", str(request.archive), *layout, *expected))


def _held_out(request: Request, test: ToPredict, report: Report) -> tuple[str, ...]:
    """What is held out is like TEST, and as much as fitting takes: what is held out is not learnt.

    Few pairs are all trained on where there is time for folds, which then score; but folds hold out
    whole places, which tells nothing of other dates.
    """
    pairs, split = test.optical, test.split
    if not test.converted and (WORK / SCENES).exists():
        clear = clear_scenes(WORK / SCENES)
        pairs = len(clear)
        if split != "blocks" and not have_dates(clear):
            split = "blocks"
            report(f"few places have two clear dates, so that the hold-out is of --split {split}")
    chosen = () if test.converted else ("--split", split)
    enough = request.hours >= all_pairs_hours(pairs)
    # A plan may be there first, written by hand or for other pairs.
    in_folds = read_plan(PLAN).folds > 1 if PLAN.exists() else enough
    if split == "blocks" and pairs <= ALL_PAIRS and in_folds:
        return (*chosen, "--holdout", "0")
    held = min(MOST_HELD, max(LEAST_HELD, pairs // HELD_SHARE))
    return (*chosen, "--holdout", str(held)) if pairs > ALL_PAIRS else chosen


def _stretch(request: Request, plan: Plan) -> Stretch | None:
    """A server that stretches images does it to those that were fitted for MAE or PSNR too.

    Two pixels of each channel prevent it, which costs less than a thousandth of the MAE.
    """
    stretches = is_official_measure(find_layout(request.layout).measure)
    fitted = is_official_measure(plan.measure)  # to its space, and then with its own anchors
    return "anchors" if stretches and not fitted else None


def _say_replaced(state: State, report: Report) -> None:
    if state.differs:
        report(f"{state.differs}, which is not what is asked for: made again")


def _followed() -> Plan:
    """The plan, where what lies here admits that it is followed."""
    plan = read_plan(PLAN)
    _check_scored(plan)
    refuse_others(plan)
    return plan


def _other_plan(plan: Plan, request: Request, *, made_now: bool) -> Iterator[str]:
    """For what the plan is, where that is not what is asked for; it is followed as it is."""
    if plan.measure != request.fitted_measure:
        yield f"is for {plan.measure}, which counts; for {request.fitted_measure} first"
    least, most = _SAME_HOURS
    if not made_now and not least <= plan.hours / request.hours <= most:
        planned, given = (duration(hours * 3600) for hours in (plan.hours, request.hours))
        yield f"is for {planned}, and is followed as it is; for {given} first"
    if (WORK / PAIRS).exists():
        pairs = len(train_pairs(read_pairs(WORK / PAIRS), 2))
        if pairs != plan.pairs:
            yield f"is for {plan.pairs} pairs, and is followed as it is; for {pairs} first"


def _check_scored(plan: Plan) -> None:
    """Refuse, before any hour is spent, a plan after which nothing could be scored or fitted."""
    if plan.folds > 1 or not (WORK / PAIRS).exists():
        return
    if not read_summary(WORK / SUMMARY).get("holdout"):
        problem = f"plans no folds, and no pair of {WORK / PAIRS} is held out, so none could score"
        remedy = "write folds = 5, or prepare with a hold-out: kit prepare DATA"
        raise InputError(PLAN, problem, remedy=remedy)


def _fewer_views(plan: Plan, left: float) -> int | None:
    """The views of a scene that end within the minutes left; None for those that are planned.

    Views that take next to nothing are kept, as they gain more than a training's last minutes.
    """
    after = sum(plan.minutes.get(part, 0.0) for part in ("fitting", "packaging"))
    predicting = plan.minutes.get("predicting", 0.0)
    left = max(left - after, _NEXT_TO_NOTHING * plan.hours * 60)
    views = plan.flips
    while views > 1 and predicting * views / plan.flips > left:
        views //= 2 if views == 8 else 4
    begun = any(PREDICTIONS.glob(f"*/{MANIFEST}"))
    return None if views == plan.flips or begun else views


def _note_views(views: int) -> None:
    """Have the plan say so, so that the same command goes on with as many."""
    text = PLAN.read_text(encoding="utf-8-sig")
    with output(PLAN) as part:
        part.write_bytes(re.sub(r"(?m)^(\s*flips\s*=\s*)\d+", rf"\g<1>{views}", text).encode())


def _left(started: float, hours: float) -> float:
    """The minutes that are left of so many hours."""
    return hours * 60 - (time.monotonic() - started) / 60
