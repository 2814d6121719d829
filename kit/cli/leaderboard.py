"""kit log and leaderboard: the server's scores beside the local ones."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet, Submissions
from kit.files import SUBMISSIONS

if TYPE_CHECKING:
    from kit.submission.leaderboard import Logged, Standings

app = typer.Typer()


@app.command(epilog="Example: kit log submission2 --leaderboard 0.0279")
def log(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An archive's name.")],
    leaderboard: Annotated[float, typer.Option(help="The score that the server shows.")],
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Record the server's score of a submission."""
    from kit.submission.leaderboard import log

    emit = console.start(json, quiet)
    logged = log(submissions, name, leaderboard)
    emit(asdict(logged))
    _show_logged(logged)


def _show_logged(logged: "Logged") -> None:
    before = f" (before: {logged.before})" if logged.before else ""
    console.write(f"{logged.name} of {logged.time}: leaderboard {logged.score:g}{before}")
    console.write("next: kit leaderboard")


@app.command(epilog="Example: kit leaderboard --json")
def leaderboard(
    submissions: Submissions = SUBMISSIONS, json: Json = False, quiet: Quiet = False
) -> None:
    """Compare local scores with the server's."""
    from kit.submission.leaderboard import leaderboard

    emit = console.start(json, quiet)
    standings = leaderboard(submissions)
    emit(asdict(standings))
    _show_standings(standings)


def _show_standings(standings: "Standings") -> None:
    measures = [agreement.measure for agreement in standings.agreements]
    rows = [
        (
            row.name,
            row.members,
            *(_score(row.local[measure]) for measure in measures),
            _score(row.leaderboard),
        )
        for row in standings.rows
    ]
    console.table("Submissions", ("name", "members", *measures, "leaderboard"), rows)
    for agreement in standings.agreements:
        found = "too few" if agreement.tau is None else f"tau {agreement.tau:.2f}"
        console.write(
            f"{agreement.measure}: agreement with the server's order of {agreement.n} submissions: "
            f"{found}"
        )
    if standings.best:
        console.write(f"best agreement: {' and '.join(standings.best)}")


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
