"""The commands around an upload: make it, check it, score it, keep track of it.

They join those of `kit.cli.main`, and like those import what they need when they run.
"""

import dataclasses
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import console, show
from kit.cli.options import (
    Expected,
    Json,
    Layout,
    Overwrite,
    Predictions,
    Quiet,
    Runs,
    Stretch,
    Submissions,
    Window,
    Work,
    Year,
)
from kit.errors import CheckError, InputError
from kit.files import PREDICTIONS, RUNS, SUBMISSIONS, WORK

app = typer.Typer()


@app.command(epilog="Example: kit package --expected files.json")
def package(
    ensemble: Annotated[
        str | None, typer.Option(help="Variants or an ensemble; the last prediction if not given.")
    ] = None,
    average: Annotated[
        str, typer.Option(help="mean, median, or a weight for each member, in order: 4,2,1.")
    ] = "mean",
    name: Annotated[str | None, typer.Option(help="The archive's name without .zip.")] = None,
    layout: Layout = "2022",
    expected: Expected = None,
    stretch: Annotated[
        Stretch,
        typer.Option(
            help="anchors: a pixel at 0 and one at 1 in each channel, so that the server's own "
            "stretch changes nothing."
        ),
    ] = Stretch.keep,
    truth: Annotated[
        Path | None, typer.Option(help="Score against this, as kit score does.")
    ] = None,
    window_days: Window = 7,
    predictions: Predictions = PREDICTIONS,
    submissions: Submissions = SUBMISSIONS,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write and check the upload archive.

    The members are averaged; a manifest beside the archive says what it was made of.
    """
    from kit.archive.layout import find_layout
    from kit.submission.package import package

    emit = console.begin(json, quiet)
    measure = find_layout(layout).measure
    with console.progress("packaging") as advance:
        result = package(
            predictions=predictions,
            submissions=submissions,
            ensemble=ensemble,
            average=average,
            name=name,
            layout=layout,
            expected=expected,
            stretch=stretch.value,
            truth=truth,
            window_days=window_days,
            overwrite=overwrite,
            advance=advance,
        )
    scores = result.scores and result.scores.as_dict()
    emit(asdict(dataclasses.replace(result, scores=None)) | {"scores": scores})
    show.archive(result, measure)


@app.command(epilog="Example: kit check submissions/submission2.zip --expected files.json")
def check(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A zip to upload.")],
    layout: Layout = "2022",
    expected: Expected = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look for everything that the server would reject, before it does.

    Exit code 4 if there is any.
    """
    from kit.archive.check import check
    from kit.archive.layout import find_layout

    emit = console.begin(json, quiet)
    started = time.perf_counter()
    with console.progress("checking") as advance:
        result = check(archive, find_layout(layout), expected, advance)
    seconds = time.perf_counter() - started
    emit(result.as_dict())
    if result.images:
        console.say(f"checked {show.rate(result.images, seconds)}")
    show.checked(archive, result)
    if not result.ok:
        raise CheckError(f"{archive}: the server would reject it")


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
    sheet: Annotated[Path | None, typer.Option(help="Draw inputs, outputs and truth here.")] = None,
    worst: Annotated[
        bool, typer.Option("--worst", help="Draw the images of largest MAE, worst first.")
    ] = False,
    per_scene: Annotated[
        Path | None, typer.Option(help="Write the errors of each image here, as Parquet.")
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="Write the truths as a server's mapping, their images beside it."),
    ] = None,
    year: Annotated[
        Year | None, typer.Option(help="The form of that mapping; 2022 if not given.")
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

    Its members, and a picture of the mean colour of the training, get a row each.
    """
    if worst and not sheet:
        raise InputError("--worst", "says what a sheet shows", remedy="give --sheet too")
    if year and not mapping:
        raise InputError("--year", "says what form a mapping has", remedy="give --mapping too")
    if codabench and (sheet or per_scene or mapping):
        problem = "writes scores.json alone"
        raise InputError(
            "--codabench", problem, remedy="leave out --sheet, --per-scene and --mapping"
        )
    emit = console.begin(json, quiet)
    if codabench:
        from kit.scoring.codabench import codabench as run

        with console.progress("scoring") as advance:
            scored = run(archive, truth, advance)
        emit(scored.scores)
        show.codabench(scored)
        return
    from kit.archive.mapping import TruthSet, write_mapping
    from kit.scoring.images import write_images
    from kit.scoring.score import score
    from kit.scoring.sheet import gallery

    with console.progress("scoring") as advance:
        report = score(
            archive, truth, window_days=window_days, predictions=predictions, advance=advance
        )
    emit(report.as_dict())
    show.report(report)
    if per_scene:
        write_images(per_scene, report.images)
        console.say(f"errors of each image: {per_scene}")
    if mapping:
        write_mapping(TruthSet(report.inputs, ()), mapping, year.value if year else "2022")
        console.say(f"mapping: {mapping}")
    if sheet:
        gallery(
            archive,
            report.inputs,
            sheet,
            predictions=predictions,
            images=report.own_images(),
            worst_first=worst,
        )
        console.say(f"picture: {sheet}")


@app.command(epilog="Example: kit reproduce submissions/submission2.json")
def reproduce(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="The .json beside an archive.")
    ],
    predictions: Predictions = PREDICTIONS,
    runs: Runs = RUNS,
    work: Work = WORK,
    out: Annotated[
        Path | None, typer.Option(help="Write the archive here; nothing is replaced.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build an archive again from its parts, and say what differs.

    Exit code 4 if it differs or cannot be built.
    """
    from kit.submission.reproduce import reproduce

    emit = console.begin(json, quiet)
    with console.progress("building again") as advance:
        result = reproduce(
            manifest, predictions=predictions, runs=runs, work=work, out=out, advance=advance
        )
    emit(result.as_dict())
    show.reproduction(result)
    if not result.same:
        problem = "differs" if result.found else "cannot be built"
        raise CheckError(f"{manifest}: the archive {problem}")


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

    emit = console.begin(json, quiet)
    result = log(submissions, name, leaderboard)
    emit(asdict(result))
    show.logged(result)


@app.command(epilog="Example: kit leaderboard --json")
def leaderboard(
    submissions: Submissions = SUBMISSIONS, json: Json = False, quiet: Quiet = False
) -> None:
    """Compare local scores with the server's."""
    from kit.submission.leaderboard import leaderboard

    emit = console.begin(json, quiet)
    result = leaderboard(submissions)
    emit(asdict(result))
    show.standings(result)
