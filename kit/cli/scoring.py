"""kit score: an archive and its members by every measure, and what can be written of it."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Predictions, Quiet, Window
from kit.errors import InputError
from kit.files import PREDICTIONS
from kit.metrics import MEASURES

if TYPE_CHECKING:
    from kit.scoring.score import Report

app = typer.Typer()


class Year(StrEnum):
    """The year whose form a mapping of truths has."""

    y2022 = "2022"
    y2023 = "2023"


@app.command(epilog="Example: kit score submissions/submission2.zip TRUTH --sheet score.png")
def score(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="An archive that kit package wrote.")
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH",
            help="A folder of Sentinel-2 tiles or a .nc file, or the server's mapping as JSON.",
        ),
    ],
    window_days: Window = 7,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a PNG of inputs, predictions and truth here.")
    ] = None,
    worst: Annotated[
        bool, typer.Option("--worst", help="Show the images of largest MAE, worst first.")
    ] = False,
    per_scene: Annotated[
        Path | None, typer.Option(help="Write the errors of each image here, as Parquet.")
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="Write the truths as a server's mapping, their images beside it."),
    ] = None,
    year: Annotated[
        Year | None, typer.Option(help="The form of that mapping; default: 2022.")
    ] = None,
    codabench: Annotated[
        bool,
        typer.Option("--codabench", help="ARCHIVE and TRUTH are Codabench's INPUT and OUTPUT."),
    ] = False,
    predictions: Predictions = PREDICTIONS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score an archive by every measure.

    Its members, and an image of the mean colour of the training, get a row each.
    """
    if worst and not sheet:
        raise InputError("--worst", "requires --sheet")
    if year and not mapping:
        raise InputError("--year", "requires --mapping")
    if codabench and (sheet or per_scene or mapping):
        raise InputError("--codabench", "cannot be combined with --sheet, --per-scene, --mapping")
    emit = console.start(json, quiet)
    if codabench:
        emit(_score_codabench(archive, truth))
        return
    from kit.scoring.score import score

    with console.progress("scoring", "looking for truths") as advance:
        report = score(
            archive, truth, window_days=window_days, predictions=predictions, advance=advance
        )
    emit(report.as_dict())
    show_report(report)
    if per_scene:
        _write_errors(report, per_scene)
    if mapping:
        _write_mapping(report, mapping, year or Year.y2022)
    if sheet:
        _write_sheet(archive, report, sheet, predictions, worst)


def _score_codabench(source: Path, output: Path) -> dict[str, float]:
    from kit.scoring.codabench import codabench

    with console.progress("scoring", "looking for truths") as advance:
        result = codabench(source, output, advance)
    rows = [(name, f"{value:.6g}") for name, value in result.scores.items()]
    console.table("Scores", ("measure", "value"), rows)
    show_passed_over(result.passed_over)
    console.write(f"scores: {result.path}")
    return result.scores


def _write_errors(report: "Report", path: Path) -> None:
    from kit.scoring.images import write_images

    write_images(path, report.images)
    console.write(f"errors of each image: {path}")


def _write_mapping(report: "Report", path: Path, year: Year) -> None:
    from kit.archive.mapping import TruthSet
    from kit.archive.mapping_writer import write_mapping

    write_mapping(TruthSet(report.inputs, ()), path, year.value)
    console.write(f"mapping: {path}")


def _write_sheet(
    archive: Path, report: "Report", path: Path, predictions: Path, worst: bool
) -> None:
    from kit.scoring.sheet import gallery

    gallery(
        archive,
        report.inputs,
        path,
        predictions=predictions,
        images=report.own_images(),
        worst_first=worst,
    )
    console.write(f"sheet: {path}")


def show_passed_over(names: Sequence[str]) -> None:
    """Print that files of an archive are no images to the server, and which."""
    if names:
        few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        console.write(
            f"passed over: {len(names)} files whose names do not end in .tiff, as the server does: "
            f"{few}"
        )


def show_report(report: "Report") -> None:
    """Print the scores of the baseline, each member and the archive, and the measures' rules."""
    rows = (*report.rows, *([report.other] if report.other else []))
    values = [row.as_dict() for row in rows]
    # A measure a line, so that all numbers stay intact on a terminal of 80 columns.
    lines = [
        (name, *("inf" if row[name] is None else f"{row[name]:.4g}" for row in values))
        for name in MEASURES
    ]
    titles = ("", *(row.name.partition(" (")[0] for row in rows))
    console.table(f"Scores of {report.rows[-1].scores.n} images", titles, lines)
    for name, known in MEASURES.items():
        console.write(f"  {name}: {known.rule}")
    if report.unscored:
        first = report.unscored[0]
        console.write(
            f"not scored: {len(report.unscored)} without a clear truth within --window-days or in "
            f"the mapping, {first} first"
        )
    show_passed_over(report.passed_over)
    for name in report.absent:
        console.write(
            f"no row for {name}: its predictions are missing, incomplete or of other weights"
        )
