"""kit score: an archive and its members by every measure, and what can be written of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kit.cli import console
from kit.cli.options import (
    AnyUnits,
    Explain,
    Json,
    Measure,
    Predictions,
    Quiet,
    Strict,
    Window,
    Work,
    is_typed,
    option_of,
    refuse_without,
    units_of,
)
from kit.cli.scores import show_advice, show_passed_over, show_report
from kit.errors import BusyError, InputError, OutputError
from kit.storage.files import PREDICTIONS, WORK

if TYPE_CHECKING:
    from kit.archive.mapping_writer import Year
    from kit.scoring.report import Report
    from kit.scoring.sheet import Choice

app = typer.Typer()

_OF_CODABENCH = {"archive", "truth", "codabench", "json", "quiet"}


@app.command(epilog="Example: kit score submissions/submission2.zip TRUTH --sheet score.png")
def score(
    context: typer.Context,
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="An archive, whoever made it.")
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH",
            help="A folder of Sentinel-2 tiles or a .nc file, or the server's mapping as JSON.",
        ),
    ],
    window_days: Window = 7,
    measure: Measure = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write inputs, predictions, their errors and the truth here: .png or .jpg."
        ),
    ] = None,
    worst: Annotated[
        bool,
        typer.Option(
            "--worst", help="On the sheet: the worst images by the layout's measure, worst first."
        ),
    ] = False,
    by_place: Annotated[
        bool, typer.Option("--by-place", help="With --worst: one image of each place.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, help="On the sheet: how many images.")] = 6,
    cell: Annotated[int, typer.Option(min=16, help="On the sheet: pixels of an image.")] = 160,
    per_scene: Annotated[
        Path | None,
        typer.Option(help="Write the errors of each image here: .parquet or .csv."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="Write the truths as a server's mapping, their images beside it."),
    ] = None,
    year: Annotated[
        Literal["2022", "2023"] | None,
        typer.Option(help="The form of that mapping; default: 2022."),
    ] = None,
    codabench: Annotated[
        bool,
        typer.Option("--codabench", help="ARCHIVE and TRUTH are Codabench's INPUT and OUTPUT."),
    ] = False,
    predictions: Predictions = PREDICTIONS,
    work: Work = WORK,
    explain: Explain = False,
    strict: Strict = False,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score an archive by every measure.

    Its members, images of one colour, and baselines that were predicted get a row each.
    """
    if codabench:
        _refuse_all_but(context, _OF_CODABENCH)
    refuse_without(context, "sheet", "worst", "rows", "cell")
    refuse_without(context, "worst", "by_place")
    refuse_without(context, "mapping", "year")
    emit = console.start(json, quiet)
    if codabench:
        emit(_score_codabench(archive, truth))
        return
    from kit.figures.grid import check_format
    from kit.scoring.error_table import check_table
    from kit.scoring.score import score
    from kit.scoring.sheet import Choice

    if sheet:
        check_format(sheet)
    if per_scene:
        check_table(per_scene)
    with console.progress("scoring", "looking for truths") as advance:
        report = score(
            archive,
            truth,
            window_days=window_days,
            units=units_of(strict, any_units),
            predictions=predictions,
            work=work,
            measure=measure,
            advance=advance,
        )
    console.warn(*report.doubts)
    emit(report.as_dict())
    show_report(report, explain, predictions)
    if per_scene:
        _write_errors(report, per_scene)
    if mapping:
        _write_mapping(report, mapping, year or "2022")
    if sheet:
        choice = Choice(rows, cell, worst, by_place)
        _write_sheet(archive, report, sheet, predictions, choice)
    _record(archive, truth, report)
    show_advice(report, predictions=predictions, submissions=archive.parent)


def _refuse_all_but(context: typer.Context, known: set[str]) -> None:
    """Refuse what was typed and would not be heeded."""
    typed = [name for name in context.params if is_typed(context, name) and name not in known]
    if typed:
        options = ", ".join(map(option_of, typed))
        raise typer.BadParameter(f"--codabench cannot be combined with {options}")


def _score_codabench(source: Path, output: Path) -> dict[str, float]:
    from kit.scoring.codabench import codabench

    with console.progress("scoring", "looking for truths") as advance:
        result = codabench(source, output, advance)
    rows = [(name, f"{value:.6g}") for name, value in result.scores.items()]
    console.table("Scores", ("measure", "value"), rows)
    show_passed_over(result.passed_over)
    console.write(f"scores: {result.path}")
    return result.scores


def _record(archive: Path, truth: Path, report: "Report") -> None:
    from kit.submission.log import LOG
    from kit.submission.record import record

    try:
        recorded = record(archive, truth, report)
    except (BusyError, InputError, OutputError) as error:
        console.write(f"not recorded: {error}")
    else:
        if recorded:
            console.write(f"recorded in {recorded}: kit leaderboard compares")
        else:
            folder = archive.parent
            console.write(f"not recorded: {folder} has no {LOG}, and no manifest of this archive")


def _write_errors(report: "Report", path: Path) -> None:
    from kit.scoring.error_table import write_images

    write_images(path, report.images)
    console.write(f"errors of each image: {path}")


def _write_mapping(report: "Report", path: Path, year: "Year") -> None:
    from kit.archive.mapping_writer import write_mapping

    write_mapping(report.inputs, path, year)
    console.write(f"mapping: {path}")


def _write_sheet(
    archive: Path, report: "Report", path: Path, predictions: Path, choice: "Choice"
) -> None:
    from kit.scoring.sheet import gallery

    gallery(archive, report, path, predictions=predictions, choice=choice)
    console.write(f"sheet: {path}")
