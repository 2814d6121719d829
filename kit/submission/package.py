"""Member predictions -> a checked archive, its manifest, and a line in the log of submissions.

In: the predictions of one or several members, and the server's list of names where there is one.
Out: `submissions/<name>.zip`, the same bytes for the same predictions, its manifest `<name>.json`,
and a line in `submissions.csv`. Refused by name: names without a prediction, and whatever the
server would reject or score as black; then no archive is left behind.

The archive appears last: a new one that lies there has its manifest and its line. Killed before,
the same command typed again makes it, of the same bytes, and its second line counts as one with the
first.
"""

import datetime
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from kit.archive.check import check
from kit.archive.finding import Finding, verdict
from kit.archive.layout import LAYOUTS, find_layout
from kit.archive.manifest import manifest_path, write_manifest
from kit.archive.mapping import TruthSet
from kit.doubt import Units
from kit.errors import CheckError
from kit.metrics import check_measure
from kit.plain_text import count_of
from kit.prediction.ensembles import chosen_ensemble, known_ensembles
from kit.prediction.members import Member, seen_in_training
from kit.progress import Advance
from kit.runs.folder import BEST
from kit.scoring.advice import Packaging, advised
from kit.scoring.baselines import find_baselines
from kit.scoring.report import Report
from kit.scoring.score import compare, ensemble_label, scored_scenes
from kit.scoring.truth import load_truth
from kit.storage.files import (
    FITTED,
    PREDICTIONS,
    RUNS,
    SUBMISSIONS,
    WORK,
    AnyPath,
    refuse_existing,
    sha256,
    together,
)
from kit.storage.lock import lock
from kit.submission.build import Built, build
from kit.submission.log import SCORED_BY, Log, read_log
from kit.submission.plan import Plan, make_plan
from kit.submission.record import members_text, scores_of

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Package:
    """What was written.

    `left_out` are predictions that the expected names do not ask for; `trained_on`, for each member
    that has seen some in training, scenes of the archive; `retrained` the members whose run has
    other weights by now than those that predicted; `flips` how many views each member averages.
    `ensemble` is the name of a fitted one, `refitted` are its members that predicted with other
    weights than those that it was fitted to, and `fit_again` is the command that fits it again.
    `notes` are lines about which members were chosen, what does not belong together in them, and
    about the stretch.
    """

    archive: Path
    manifest: Path
    images: int
    scenes: int
    left_out: int
    sha256: str
    scores: Report | None
    write_seconds: float
    check_seconds: float
    trained_on: dict[str, tuple[str, ...]]
    retrained: tuple[str, ...]
    flips: dict[str, int]
    refitted: tuple[str, ...] = ()
    fit_again: str = ""
    ensemble: str = ""
    stretch: str = "keep"
    notes: tuple[str, ...] = ()


def package(
    *,
    predictions: AnyPath = PREDICTIONS,
    runs: AnyPath = RUNS,
    work: AnyPath = WORK,
    submissions: AnyPath = SUBMISSIONS,
    ensemble: str | None = None,
    average: str | None = None,
    name: str | None = None,
    layout: str | Path = "2022",
    expected: AnyPath | None = None,
    truth: AnyPath | None = None,
    stretch: str | None = None,
    measure: str | None = None,
    window_days: int = 7,
    ensembles: AnyPath = FITTED,
    units: Units = "check",
    overwrite: bool = False,
    threads: int | None = None,
    advance: Advance | None = None,
) -> Package:
    """Average the members of an ensemble and write the archive to upload.

    Args:
        predictions: the folder that `kit predict` wrote.
        runs: the folder of trained runs, to say whether they have other weights by now.
        work: the folder of tables whose pairs say which truths of a folder are clear.
        submissions: the folder to write to.
        ensemble: an ensemble's name, or variants with commas; what was predicted last if None.
        average: "mean", "median", or weights, as `kit.averaging.parse_averaging` takes them; the
            mean if None. One that was fitted brings its own.
        name: the archive's name without `.zip`; if None that of the ensemble, followed by the way
            it is averaged where that is not the mean, and by "anchors" where it has them; both
            only as far as it was not fitted.
        layout: a key of `kit.archive.layout.LAYOUTS`, or a TOML file.
        expected: the server's list of names, see `kit.archive.expected`; as many images
            of each scene as the layout asks for if None.
        truth: score against this, as `kit score` does.
        stretch: "anchors" to add what `kit.anchors` explains, "keep" for the images as
            they are; if None "keep", or what a fitted ensemble was fitted with.
        measure: a key of `kit.metrics.MEASURES` that advice goes by; the layout's if None.
        window_days: how far a truth of a folder may be from the radar date.
        units: what becomes of doubts about the units of truths.
        ensembles: the folder of fitted ensembles.
        overwrite: replace an archive of this name.
        threads: how many average and deflate; one for each core if None. The bytes are the same.
        advance: called with (done, total) while averaging, checking and scoring, in turn.

    Raises:
        InputError: a prediction is missing; a setting, the list or the truth is not usable; or the
            units of the truth are wrong.
        CheckError: the server would reject what came out, or score it as black; no archive is left
            behind.
        BusyError: the archive exists, or another process is packaging.
    """
    predictions, submissions = Path(predictions), Path(submissions)
    expected, truth = (Path(path) if path else None for path in (expected, truth))
    check_measure(measure)
    rules, file = find_layout(layout), None if str(layout) in LAYOUTS else Path(layout)
    chosen = chosen_ensemble(predictions, ensemble, Path(ensembles))
    known = known_ensembles(Path(ensembles))
    plan = make_plan(predictions, chosen, average, stretch, name, rules, file, expected, known)
    archive = submissions / f"{plan.name}.zip"
    with lock(submissions):
        refuse_existing(archive, "give --overwrite, or another --name", overwrite)
        log = read_log(submissions)
        loaded = None
        if truth:
            loaded = load_truth(truth, [*plan.names], window_days, advance, work=Path(work))
        with together(submissions) as new:
            # An archive that lies there has its manifest and its line: it gets its name last.
            new(manifest_path(archive).name)
            log = replace(log, path=new(log.path.name))
            part = new(archive.name)
            written = _write(part, plan, threads, advance)
            scores = None
            if truth and loaded:
                scores = _score(part, truth, loaded, plan, expected, measure, units, advance)
            _record(part, plan, expected, truth, written, scores, log)
    return Package(
        archive=archive,
        manifest=manifest_path(archive),
        images=len(plan.names),
        scenes=len(set(plan.names.values())),
        left_out=plan.left_out,
        sha256=written.sha256,
        scores=scores,
        write_seconds=written.write_seconds,
        check_seconds=written.check_seconds,
        trained_on=plan.trained_on,
        retrained=_retrained(Path(runs), plan.members),
        flips={member.variant: member.flips for member in plan.members},
        refitted=chosen.changed({m.variant: m.weights_sha256 for m in plan.members}),
        fit_again=chosen.again(),
        ensemble=chosen.name if chosen.fitted else "",
        stretch=plan.combination.stretch,
        notes=plan.notes,
    )


def _retrained(runs: Path, members: Sequence[Member]) -> tuple[str, ...]:
    found = {member.variant: runs / member.variant / BEST for member in members}
    predicted = {member.variant: member.weights_sha256 for member in members}
    return tuple(n for n, path in found.items() if path.exists() and sha256(path) != predicted[n])


class _Written(NamedTuple):
    """An archive that was written and that the server would accept."""

    built: Built
    sha256: str
    write_seconds: float
    check_seconds: float


def _write(path: Path, plan: Plan, threads: int | None, advance: Advance | None) -> _Written:
    started = time.perf_counter()
    with path.open("wb") as file:
        built = build(
            file,
            plan.members,
            plan.names,
            combination=plan.combination,
            threads=threads,
            advance=advance,
        )
    written = time.perf_counter()
    _refuse(check(path, plan.layout, list(plan.names), advance).findings)
    checked = time.perf_counter()
    return _Written(built, sha256(path), written - started, checked - written)


def _record(
    archive: Path,
    plan: Plan,
    expected: Path | None,
    truth: Path | None,
    written: _Written,
    scores: Report | None,
    log: Log,
) -> None:
    """Write the manifest beside `archive`, and the line in the log."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_manifest(
        archive,
        ensemble=plan.ensemble.name,
        created=created,
        left_out=plan.left_out,
        checksum=written.sha256,
        combination=plan.combination,
        fitted=_fitted(plan),
        layout=plan.layout,
        layout_file=plan.layout_file,
        expected=expected,
        members=plan.members,
        predictions=written.built.predictions,
        scores=scores.as_dict() if scores else None,
        scenes=plan.names,
        entries=written.built.entries,
    )
    line = {
        "time": created,
        "name": plan.name,
        "members": members_text(tuple(m.variant for m in plan.members), plan.combination),
        "ensemble": plan.ensemble.name,
        "layout": plan.layout.name,
        "target": plan.combination.space(plan.members[0].target),
        "stretch": plan.combination.stretch,
        "sha256": written.sha256,
    }
    if scores and truth:
        log, line = log.with_columns(*SCORED_BY), scores_of(scores, truth) | line
    log.append(line)


def _fitted(plan: Plan) -> dict[str, Any] | None:
    """By what the ensemble was fitted, with its measure where the archive is as it was fitted."""
    about, usual = plan.ensemble.fitted, plan.ensemble.combination
    if about is None:
        return None
    weights = {member.variant: member.weights_sha256 for member in plan.members}
    as_fitted = plan.combination.stretch == usual.stretch and not plan.ensemble.changed(weights)
    return asdict(about) | ({"measure": plan.ensemble.measure} if as_fitted else {})


def _refuse(found: Sequence[Finding]) -> None:
    rejected = [finding for finding in found if not finding.harmless]
    if rejected:
        alike: dict[tuple[str, str], list[str]] = {}
        for finding in rejected:
            alike.setdefault((finding.problem, finding.remedy), []).append(finding.name)
        lines = [
            f"  {names[0]} and {len(names) - 1} more: {problem}; {remedy}"
            if len(names) > 1
            else f"  {names[0]} {problem}; {remedy}"
            for (problem, remedy), names in [*alike.items()][:SHOWN]
        ]
        others = sum(len(names) for names in [*alike.values()][SHOWN:])
        more = f"\n  and {others} more" if others else ""
        count = count_of(len(rejected), "finding")
        title = f"{verdict('this archive', rejected)}, so it is not written: {count}"
        raise CheckError("\n".join([title, *lines]) + more)


def _score(
    archive: Path,
    where: Path,
    truth: TruthSet,
    plan: Plan,
    expected: Path | None,
    measure: str | None,
    units: Units,
    advance: Advance | None,
) -> Report:
    variants = tuple(member.variant for member in plan.members)
    target, folder = plan.members[0].target, plan.members[0].folder.parent
    shown = {str(scene) for scene in plan.names.values()}
    baselines = find_baselines(folder, variants, target, shown, plan.members)
    report = compare(
        archive,
        truth,
        ensemble_label(variants, plan.combination),
        target,
        plan.members[0].colors,
        plan.members,
        advance,
        combination=plan.combination,
        baselines=baselines,
        scenes=plan.names,
        where=where,
        units=units,
    )
    fitted = plan.ensemble.name if plan.ensemble.fitted else ""
    made = Packaging(variants, plan.combination, plan.layout, expected, fitted, plan.layout_file)
    trained_on = plan.trained_on | baselines.trained_on
    seen = seen_in_training(trained_on, scored_scenes(report, plan.names))
    return advised(replace(report, trained_on=seen), made, measure)
