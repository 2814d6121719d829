"""kit log and leaderboard: the server's scores beside the local ones."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Measure, Quiet, Submissions
from kit.metrics import MEASURES
from kit.plain_text import count_of
from kit.storage.files import SUBMISSIONS
from kit.submission.agreement import FEWEST
from kit.submission.log import LOG
from kit.submission.server_score import DIGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.submission.agreement import Agreement
    from kit.submission.leaderboard import Standings
    from kit.submission.server_score import Logged
    from kit.submission.standing import Standing

app = typer.Typer()


@app.command(epilog="Example: kit log submission2 --leaderboard 0.0279")
def log(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An archive's name.")],
    leaderboard: Annotated[
        float | None, typer.Option(help="The score that the server shows.")
    ] = None,
    note: Annotated[
        str, typer.Option(help="What to remember of it; kit leaderboard shows it.")
    ] = "",
    sha256: Annotated[
        str | None,
        typer.Option(
            metavar="DIGITS",
            help="How the archive's SHA-256 begins, if others had its name; default: the newest.",
        ),
    ] = None,
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Note the server's score of a submission, or a remark."""
    from kit.submission.server_score import log

    emit = console.start(json, quiet)
    logged = log(submissions, name, leaderboard, note, sha256)
    emit(asdict(logged))
    _show_logged(logged, submissions)


def _show_logged(logged: "Logged", submissions: Path) -> None:
    before = f" (before: {logged.before})" if logged.before else ""
    if logged.score is not None:
        console.write(f"{logged.name} of {logged.time}: {logged.score:g} on the server{before}")
    if logged.note:
        console.write(f"{logged.name} of {logged.time}: {logged.note}")
    for time, digest in logged.others:
        console.warn(
            f"of {time} is another archive of this name: if that is meant, run: kit log "
            f"{shlex.quote(logged.name)} --sha256 {digest[:DIGITS]} ..."
        )
    if logged.others and logged.score is not None:
        console.write(
            f"  and empty the cell leaderboard of {logged.time} in {submissions / LOG}: it has "
            "the score now"
        )
    console.write("next: kit leaderboard")


@app.command(epilog="Example: kit leaderboard --measure mae")
def leaderboard(
    measure: Measure = None,
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare local scores with those noted of the server.

    The server's scores come first, best first; then what it has not scored, by the measure of the
    layout. With --measure, that orders all of them.
    """
    from kit.submission.leaderboard import leaderboard

    emit = console.start(json, quiet)
    standings = leaderboard(submissions, measure)
    emit(asdict(standings))
    _show_standings(standings, measure)


def _show_standings(standings: "Standings", measure: str | None) -> None:
    rows = standings.rows
    # Several tables, for one of all columns would not fit on 80 characters.
    _show_archives(rows, measure)
    _show_scores(rows, measure)
    _show_heldout(rows)
    for row in rows:
        if row.same_as:
            console.write(f"{row.name} holds the same bytes as {row.same_as}")
    console.notes({row.name: [row.note] for row in rows if row.note})
    console.warn(*standings.doubts)
    if all(row.leaderboard is None for row in rows):
        console.write("no score of the server is noted: kit log NAME --leaderboard SCORE")
        return
    _show_agreements(standings.agreements)
    if standings.best:
        by_chance = ", as chance may have it: note more scores"
        by_chance = "" if standings.best_beyond_chance else by_chance
        console.write(f"best agreement: {' and '.join(standings.best)}{by_chance}")


def _show_archives(rows: "Sequence[Standing]", measure: str | None) -> None:
    counts = " or ".join(dict.fromkeys(row.measure for row in rows))
    order = f"by {measure}" if measure else f"by the server's score, then by {counts}"
    made = [
        (
            row.name,
            _short(row.time),
            row.layout,
            row.target,
            row.anchors_text,
            _ensemble(row),
        )
        for row in rows
    ]
    titles = ("name", "time", "layout", "target", "anchors", "ensemble")
    console.table(f"Submissions, {order}" if rows else "Submissions", titles, made)


def _show_scores(rows: "Sequence[Standing]", measure: str | None) -> None:
    """A table of the scores by each truth; the first, of the truth of most, has all rows."""
    from kit.submission.standing import score_text, scores_by_truth

    by_truth = scores_by_truth(rows)
    first = next(iter(by_truth))
    names = [name for name, known in MEASURES.items() if known.shown or name == measure]
    for truth, found in by_truth.items():
        table = [
            (
                row.name,
                *(
                    score_text(found[number].local[name] if number in found else None)
                    for name in names
                ),
                score_text(row.leaderboard),
            )
            for number, row in enumerate(rows)
            if number in found or truth == first
        ]
        counts = {scored.images for scored in found.values() if scored.images}
        images = f", {counts.pop()} images" if len(counts) == 1 else ""
        by = f" by {truth}{images}" if truth else ""
        console.table(f"Local scores{by}, and the server's", ("name", *names, "server"), table)


def _show_heldout(rows: "Sequence[Standing]") -> None:
    """What fitted ensembles scored on pairs that they were not fitted on."""
    from kit.submission.standing import score_text

    table = [
        (
            row.name,
            fit.measure,
            f"{fit.score:.5g}",
            f"{fit.interval[0]:.4g} to {fit.interval[1]:.4g}",
            f"{fit.scenes} of {fit.pairs_sha256[:8]}",
            score_text(row.leaderboard),
        )
        for row in rows
        if (fit := row.heldout)
    ]
    if table:
        titles = ("name", "measure", "score", "95 %", "pairs", "server")
        console.table("Scores on held-out pairs, and the server's", titles, table)


def _show_agreements(agreements: "Sequence[Agreement]") -> None:
    known = [
        (
            each.measure,
            each.truth,
            each.layout,
            str(each.n),
            f"{each.tau:.2f}",
            f"{each.chance:.2g}",
        )
        for each in agreements
        if each.tau is not None and each.chance is not None
    ]
    if known:
        titles = ("local score", "by", "layout", "archives", "tau", "chance")
        console.table("Agreement with the server's order", titles, known)
        console.write("tau: Kendall's, 1 for the server's order and -1 for its reverse")
        console.write("chance: the share of random orders that agree as well")
    few = {(each.truth, each.layout): each.n for each in agreements if 0 < each.n < FEWEST}
    for (truth, layout), count in few.items():
        by, of = (
            f" {word} {name}" if name else "" for word, name in (("by", truth), ("of", layout))
        )
        archives = f"{count_of(count, 'archive')}{of}"
        console.write(f"{archives} with a score{by} and one of the server: an order needs {FEWEST}")


def _ensemble(row: "Standing") -> str:
    """The name of an ensemble before its members, where that says more."""
    members = row.members.partition(" (")[0].split()
    named = row.ensemble and row.ensemble not in (*members, "-".join(members))
    return f"{row.ensemble}: {row.members}" if named else row.members


def _short(time: str) -> str:
    """A time of the log to the minute; one that somebody wrote otherwise as it is."""
    date, _, clock = time.partition("T")
    return f"{date} {clock[:5]}" if clock else time
