"""kit log and leaderboard: the server's scores beside the local ones."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Measure, Quiet, Submissions
from kit.files import SUBMISSIONS

if TYPE_CHECKING:
    from kit.submission.leaderboard import Logged, Standings

app = typer.Typer()

_ANCHORS = {"keep": "no", "anchors": "yes"}


@app.command(epilog="Example: kit log submission2 --leaderboard 0.0279")
def log(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An archive's name.")],
    leaderboard: Annotated[float, typer.Option(help="The score that the server shows.")],
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Note the server's score of a submission."""
    from kit.submission.leaderboard import log

    emit = console.start(json, quiet)
    logged = log(submissions, name, leaderboard)
    emit(asdict(logged))
    _show_logged(logged)


def _show_logged(logged: "Logged") -> None:
    before = f" (before: {logged.before})" if logged.before else ""
    console.write(f"{logged.name} of {logged.time}: {logged.score:g} on the server{before}")
    console.write("next: kit leaderboard")


@app.command(epilog="Example: kit leaderboard --measure mae")
def leaderboard(
    measure: Measure = None,
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare local scores with those noted of the server."""
    from kit.submission.leaderboard import leaderboard

    emit = console.start(json, quiet)
    standings = leaderboard(submissions, measure)
    emit(asdict(standings))
    _show_standings(standings)


def _show_standings(standings: "Standings") -> None:
    measures = [agreement.measure for agreement in standings.agreements]
    # Two tables, for one of all columns would not fit on 80 characters.
    made = [
        (
            row.name,
            _short(row.time),
            row.layout,
            row.target,
            _ANCHORS.get(row.stretch, row.stretch),
            row.members,
        )
        for row in standings.rows
    ]
    titles = ("name", "time", "layout", "target", "anchors", "members")
    console.table("Submissions", titles, made)
    scores = [
        (row.name, *(_score(row.local[measure]) for measure in measures), _score(row.leaderboard))
        for row in standings.rows
    ]
    console.table("Local scores, and the server's", ("name", *measures, "server"), scores)
    for row in standings.rows:
        if row.same_as:
            console.write(f"{row.name} holds the same bytes as {row.same_as}")
    if all(row.leaderboard is None for row in standings.rows):
        console.write("no score of the server is noted: kit log NAME --leaderboard SCORE")
        return
    for agreement in standings.agreements:
        found = "too few" if agreement.tau is None else f"tau {agreement.tau:.2f}"
        console.write(
            f"{agreement.measure}: agreement with the server's order of {agreement.n} submissions: "
            f"{found}"
        )
    if standings.best:
        console.write(f"best agreement: {' and '.join(standings.best)}")


def _short(time: str) -> str:
    """A time of the log to the minute; one that somebody wrote otherwise as it is."""
    date, _, clock = time.partition("T")
    return f"{date} {clock[:5]}" if clock else time


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
