"""The scores of an archive as a table, and what would have scored better."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cli import console
from kit.colors import CONSTANTS
from kit.metrics import MEASURES
from kit.storage.files import FITTED, PREDICTIONS, SUBMISSIONS

if TYPE_CHECKING:
    from kit.scoring.report import Report, Row

_FEW = 3


def show_report(report: "Report", explain: bool, predictions: Path = PREDICTIONS) -> None:
    """Print the scores of the baselines, each member and the archive, and what has none.

    Args:
        report: the scores.
        explain: whether to say what each measure is.
        predictions: the folder of predictions.
    """
    baselines = [row for row in report.rows if row.name in (*CONSTANTS, *report.baselines)]
    rows = [row for row in report.rows if row not in baselines]
    counts = f"; {report.measure} counts" if report.measure else ""
    if baselines:
        _show_rows("Baselines: images of one colour, and what is fitted in seconds", baselines)
    if trees := report.missing_trees:
        given = () if predictions == PREDICTIONS else ("--predictions", str(predictions))
        console.write(
            f"no boosted trees to compare with: kit train {trees}; "
            f"{shlex.join(('kit', 'predict', '--ensemble', trees, '--input', 'TEST', *given))}; "
            "then name what is to be packaged: kit package --ensemble NAME"
        )
    others = [report.other] if report.other else []
    _show_rows(f"Scores of {report.own.scores.n} images{counts}", [*rows, *others])
    for name in report.not_beaten:
        one = f"the {name}" if name in CONSTANTS else name
        console.write(f"no better by {report.measure} than {one}")
    if explain:
        for name, known in MEASURES.items():
            console.write(f"  {name}: {known.rule}")
    else:
        console.write("--explain says what each measure is")
    show_trained_on(report.trained_on, report.scenes)
    if report.clear:
        console.write(report.clear)
    if report.left_out:
        tally = ", ".join(f"{n} {reason}" for reason, n in report.left_out.items())
        console.write(f"truths left out: {tally}")
    if report.unscored:
        first = report.unscored[0]
        console.write(
            f"not scored: {len(report.unscored)} without a clear truth within --window-days or in "
            f"the mapping, {first} first"
        )
    show_passed_over(report.passed_over)
    for name in report.absent:
        console.write(
            f"no row for {name}: its predictions are missing, incomplete, or of other weights or "
            "--flips"
        )


def _show_rows(title: str, rows: "Sequence[Row]") -> None:
    # A measure a line, so that all numbers stay intact on a terminal of 80 columns.
    lines = [(name, *(console.number(row.get(name), ".4g") for row in rows)) for name in MEASURES]
    console.table(title, ("", *(row.name.partition(" (")[0] for row in rows)), lines)


def show_trained_on(trained_on: Mapping[str, Sequence[str]], scenes: int) -> None:
    """Print which members have seen the ground of how many scenes in training, one line each."""
    for name, seen in trained_on.items():
        console.warn(
            f"{name} was trained on the ground of {len(seen)} of {scenes} scenes, "
            f"{seen[0]} first, at the same dates or others: its scores there say little of places "
            "that it has not seen"
        )


def show_passed_over(names: Sequence[str]) -> None:
    """Print that files of an archive are no images to the server, and which."""
    if names:
        few = ", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")
        problem = "whose names do not end in .tiff, as the server does"
        console.write(f"passed over: {len(names)} files {problem}: {few}")


def show_advice(
    report: "Report",
    *,
    predictions: Path = PREDICTIONS,
    ensembles: Path = FITTED,
    submissions: Path = SUBMISSIONS,
) -> bool:
    """Print what scores better than the archive, last the setting that scores best, if any does.

    Args:
        report: the scores.
        predictions: the folder that the command is to read.
        ensembles: the folder of fitted ones.
        submissions: the folder that it is to write to.

    Returns:
        Whether there is such a setting.
    """
    measure, advice = report.measure, report.advice
    own = f"instead of {report.own.get(measure):.4g}"
    if not advice:
        return False
    member = report.better_member
    if member and advice.setting != f"{member.member} alone":
        score = member.row.get(measure)
        console.write(f"better than all members together: {member.member} alone, {score:.4g} {own}")
    line = f"better: {advice.setting}, {measure} {advice.score:.4g} {own}"
    line += f" on these {report.own.scores.n} images"
    command = [advice.command or "kit package --stretch anchors"]
    folders = (
        ("--predictions", predictions, PREDICTIONS),
        ("--ensembles", ensembles, FITTED),
        ("--submissions", submissions, SUBMISSIONS),
    )
    if advice.command:
        command += [shlex.join([name, str(f)]) for name, f, usual in folders if f != usual]
    console.write(f"{line}; run: {' '.join(command)}")
    return True
