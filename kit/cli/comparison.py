"""kit compare: two runs, ensembles or submissions, scene by scene."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import AnyUnits, Ensembles, Json, Quiet, Runs, Submissions, Window, Work
from kit.storage.files import FITTED, RUNS, SUBMISSIONS, WORK

if TYPE_CHECKING:
    from kit.comparison.paired import Comparison

app = typer.Typer()

_SHOWN = 5


@app.command(epilog="Example: kit compare spade2 nafnet1 --measure official_2022")
def compare(
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="A run, a variant in folds, an ensemble; or an archive."),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    truth: Annotated[
        Path | None,
        typer.Option(help="A and B are submissions, which are scored against this."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What counts; default: mae, or that of the fitted ensemble or of the layout.",
        ),
    ] = None,
    window_days: Window = 7,
    any_units: AnyUnits = False,
    work: Work = WORK,
    runs: Runs = RUNS,
    ensembles: Ensembles = FITTED,
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether B is better than A beyond noise.

    Runs and ensembles are compared on pairs that none of their members has seen: the hold-out and,
    of variants that were trained in folds, all clear pairs. Submissions are compared by a truth.
    The difference is taken scene by scene, and its 95 % interval over places.
    """
    from kit.comparison.compare import compare

    emit = console.start(json, quiet)
    waiting = "looking for truths" if truth else "predicting what was held out"
    with console.progress("comparing", waiting) as advance:
        result = compare(
            first,
            second,
            truth=truth,
            measure=measure,
            work=work,
            runs=runs,
            ensembles=ensembles,
            submissions=submissions,
            window_days=window_days,
            units="any" if any_units else "check",
            advance=advance,
            report=console.write,
        )
    emit(result.as_dict())
    _show(result)


def _show(result: "Comparison") -> None:
    each = result.differences
    count = min(_SHOWN, len(each) // 2)
    shown = each if len(each) <= 2 * _SHOWN else (*each[:count], *each[-count:])
    rows = [(d.scene, f"{d.first:.5g}", f"{d.second:.5g}", f"{d.gain:+.3g}") for d in shown]
    which = f" where {result.second} gains and loses most" if len(shown) < len(each) else ""
    title = f"{result.measure} of scenes{which}"
    gain = f"{result.second} better by"
    console.table(title, ("scene", result.first, result.second, gain), rows)
    low, high = result.interval
    table = [
        (result.measure, f"{result.scores[0]:.5g}", f"{result.scores[1]:.5g}",
         f"{result.gain:+.3g}", f"{low:+.3g} to {high:+.3g}"),
        ("scenes won", str(result.wins[0]), str(result.wins[1]), "", ""),
    ]  # fmt: skip
    title = f"Mean of {len(each)} scenes of {result.places} places"
    console.table(title, ("", result.first, result.second, gain, "95 %"), table)
    for name, lacking in zip((result.first, result.second), result.only, strict=True):
        if lacking:
            console.write(f"left out: {lacking} scenes that only {name} has")
    for note in result.notes:
        console.write(f"note: {note}")
    console.notes(result.kept_notes)
    console.write(result.verdict)
