"""kit validate: the scores of trained variants on the hold-out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import console
from kit.cli.next_step import predict_next
from kit.cli.options import AnyUnits, Json, Quiet, Runs, Work, units_of
from kit.plain_text import count_of
from kit.storage.files import RUNS, WORK

if TYPE_CHECKING:
    from kit.training.table1 import Row

app = typer.Typer()


@app.command(epilog="Example: kit validate spade2 p2phd1")
def validate(
    variants: Annotated[
        list[str] | None,
        typer.Argument(metavar="VARIANT...", help="Default: all that are trained."),
    ] = None,
    measure: Annotated[
        str, typer.Option(metavar="NAME", help="What counts, such as mae or official_2022.")
    ] = "mae",
    work: Work = WORK,
    runs: Runs = RUNS,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score trained variants on the hold-out: Table 1."""
    from kit.runs.notes import notes_of
    from kit.training.validate import validate

    emit = console.start(json, quiet)
    with console.progress("validating", "loading the first variant") as advance:
        rows = validate(
            variants or (),
            work=work,
            runs=runs,
            measure=measure,
            units=units_of(False, any_units),
            advance=advance,
            report=console.write,
        )
    notes = {row.variant: notes_of(runs, row.variant) for row in rows}
    emit([_row(row) | {"notes": notes[row.variant]} for row in rows])
    console.notes(notes)
    _show_validation(rows, measure, runs)


def _row(row: "Row") -> dict[str, Any]:
    """A row as JSON values."""
    about = {
        "variant": row.variant,
        "out_of_fold": row.part.out_of_fold,
        "kind": row.part.kind,
        "interval": row.interval,
        "behind": row.behind,
        "is_baseline": row.is_baseline,
        "not_beaten": row.not_beaten,
    }
    return about | row.scores.as_dict()


def _show_validation(rows: "Sequence[Row]", measure: str, runs: Path) -> None:
    from kit.training.table1 import ranked

    for part in dict.fromkeys(row.part for row in rows):
        table = [row for row in rows if row.part == part]
        _show_part(str(part), table, measure)
    for row in {row.variant: row for row in rows}.values():
        if row.warning:
            console.warn(f"{row.variant} {row.warning}")
    first = [row for row in rows if row.part == rows[0].part and not row.is_baseline]
    best = ranked(first, measure)
    alike = [row.variant for row in best if row.target == best[0].target][:3]
    console.write(f"next: {predict_next(','.join(alike), alike, runs)}")


def _show_part(title: str, rows: "Sequence[Row]", measure: str) -> None:
    """The table of one part, and what its pairs are too few to tell."""
    from kit.intervals import ENOUGH_PLACES
    from kit.training.table1 import BEHIND

    cells = [row.cells(measure) for row in rows]
    columns = [name for name in cells[0] if name != BEHIND]
    pairs = f"{count_of(rows[0].scores.n, 'pair')} of {count_of(rows[0].places, 'place')}"
    console.table(
        f"{title}: {pairs}; {measure} counts",
        columns,
        [[each[name] for name in columns] for each in cells],
    )
    few = rows[0].places < ENOUGH_PLACES
    if few and sum(not row.is_baseline for row in rows) > 1:
        console.write(f"{pairs}: too few places to tell one run from another")
    for row in rows:
        if row.not_beaten:
            console.write(f"{row.variant} is no better here than {', '.join(row.not_beaten)}")
        if not few and row.behind and row.behind[1] <= 0:
            worse, low, high = row.behind
            console.write(
                f"{pairs} are too few to tell {row.variant} from the best: {measure} is "
                f"worse by {worse:.4g}, 95 % interval {low:.4g} to {high:.4g}"
            )
