"""kit log and leaderboard: the server's scores beside the local ones."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Measure, Quiet, Submissions
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
    from kit.submission import tables

    rows = standings.rows
    # Several tables, for one of all columns would not fit on 80 characters.
    title = f"Submissions, {_order(rows, measure)}" if rows else "Submissions"
    console.table(*tables.made(rows, title))
    for table in (*tables.scored(rows, measure), tables.heldout(rows)):
        if table.rows:
            console.table(*table)
    for row in rows:
        if row.same_as:
            console.write(f"{row.name} holds the same bytes as {row.same_as}")
    console.notes({row.name: [row.note] for row in rows if row.note})
    console.warn(*standings.doubts)
    if all(row.leaderboard is None for row in rows):
        console.write("no score of the server is noted: kit log NAME --leaderboard SCORE")
        return
    agreeing = tables.agreements(standings.agreements)
    if agreeing.rows:
        console.table(*agreeing)
        for note in tables.AGREEMENT_NOTES:
            console.write(note)
    _show_few(standings.agreements)
    if standings.best:
        by_chance = ", as chance may have it: note more scores"
        by_chance = "" if standings.best_beyond_chance else by_chance
        console.write(f"best agreement: {' and '.join(standings.best)}{by_chance}")


def _order(rows: "Sequence[Standing]", measure: str | None) -> str:
    """By what the rows are ordered."""
    counts = " or ".join(dict.fromkeys(row.measure for row in rows))
    return f"by {measure}" if measure else f"by the server's score, then by {counts}"


def _show_few(agreements: "Sequence[Agreement]") -> None:
    """What has too few scores for an order."""
    few = {(each.truth, each.layout): each.n for each in agreements if 0 < each.n < FEWEST}
    for (truth, layout), count in few.items():
        by, of = (
            f" {word} {name}" if name else "" for word, name in (("by", truth), ("of", layout))
        )
        archives = f"{count_of(count, 'archive')}{of}"
        console.write(f"{archives} with a score{by} and one of the server: an order needs {FEWEST}")
