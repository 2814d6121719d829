"""The commands: parse, call, show. What they do is in the module of the same name.

Those modules are imported by the command that needs them: torch alone takes a second or two.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import console, show
from kit.cli.options import (
    Backend,
    Data,
    Dilate,
    Engines,
    Fallback,
    Json,
    MaxCloud,
    MinArea,
    Overwrite,
    Precision,
    Predictions,
    Quiet,
    Runs,
    Scale,
    Seed,
    Split,
    Threshold,
    Tolerance,
    Window,
    Work,
)
from kit.cli.submission import app as upload
from kit.cli.training import app as training
from kit.engines.request import Request
from kit.errors import InputError, KitError
from kit.files import ENGINES, PREDICTIONS, RUNS, WORK
from kit.screening.rule import CloudRule
from kit.variants import ENSEMBLES, VARIANTS, to_dict

app = typer.Typer(
    name="kit",
    help="Sentinel-1 radar tiles in, the Sentinel-2 picture and an accepted archive out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


INTERRUPTED = 130
_RULE = CloudRule()
_REQUEST = Request()


@app.command(epilog="Example: kit simulate world --places 24")
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the tiles.")],
    places: Annotated[int, typer.Option(min=1, help="Places to train on.")] = 24,
    test_places: Annotated[int, typer.Option(min=1, help="Places to predict.")] = 6,
    dates: Annotated[int, typer.Option(min=1, help="Radar scenes of each place.")] = 4,
    size: Annotated[int, typer.Option(min=32, help="Pixels along a tile's side.")] = 256,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a small world of official tiles.

    OUT/train holds both sensors, OUT/test the radar to predict from, OUT/truth what it should give.
    """
    from kit.simulation.simulate import simulate

    emit = console.begin(json, quiet)
    with console.progress("simulating") as advance:
        world = simulate(
            out,
            places=places,
            test_places=test_places,
            dates=dates,
            size=size,
            seed=seed,
            advance=advance,
        )
    emit(asdict(world))
    show.world(world)


@app.command(epilog="Example: kit screen DATA --sheet screen.png --threshold 0.4")
def screen(
    data: Data,
    work: Work = WORK,
    scale: Scale = _RULE.scale,
    threshold: Threshold = _RULE.threshold,
    min_area: MinArea = _RULE.min_area,
    dilate: Dilate = _RULE.dilate,
    max_cloud: MaxCloud = 0.0,
    sheet: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Draw the scenes nearest to the limit here."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a dask scheduler: its workers do the reading."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure the nodata and the clouds of every scene, and show what the cloud rule does.

    Only what changed is read again, so that thresholds can be tried one after the other.
    """
    from kit.screening.screen import screen
    from kit.screening.sensitivity import effects
    from kit.screening.table import SCENES

    emit = console.begin(json, quiet)
    rule = CloudRule(scale, threshold, min_area, dilate)
    with console.progress("screening") as advance:
        result = screen(
            data, work, rule=rule, max_cloud=max_cloud, scheduler=scheduler, advance=advance
        )
    tried = None
    if json or not quiet:
        with console.progress("trying other rules") as advance:
            tried = effects(work / SCENES, rule, max_cloud, advance=advance)
        emit(result.as_dict() | {"effects": asdict(tried)})
    if sheet:
        from kit.screening.sheet import picture

        picture(work / SCENES, rule, max_cloud, sheet)
        console.say(f"picture: {sheet}")
    if tried:
        show.screening(result, tried, work)


@app.command(epilog="Example: kit prepare DATA --window-days 3")
def prepare(
    data: Data,
    work: Work = WORK,
    window_days: Window = 7,
    holdout: Annotated[
        int, typer.Option(min=0, help="Pairs to set aside; at most a fifth.")
    ] = 1000,
    split: Annotated[
        Split,
        typer.Option(
            help="blocks: no place is in both parts. random: the paper's way, which leaks."
        ),
    ] = Split.blocks,
    scale: Scale = _RULE.scale,
    threshold: Threshold = _RULE.threshold,
    min_area: MinArea = _RULE.min_area,
    dilate: Dilate = _RULE.dilate,
    max_cloud: MaxCloud = 0.0,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Screen tiles, make pairs, set the hold-out aside."""
    from kit.pairs.prepare import prepare

    emit = console.begin(json, quiet)
    rule = CloudRule(scale, threshold, min_area, dilate)
    with console.progress("screening") as advance:
        summary = prepare(
            data,
            work,
            rule=rule,
            max_cloud=max_cloud,
            window_days=window_days,
            holdout=holdout,
            split_by=split.value,
            seed=seed,
            advance=advance,
        )
    emit(asdict(summary))
    show.summary(summary, work)


@app.command("compile", epilog="Example: kit compile spade2 p2phd1 --precision int8")
def compile(
    variants: Annotated[list[str], typer.Argument(metavar="VARIANT...", help="Trained variants.")],
    tiles: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Radar tiles to compare on where there is no hold-out."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels along a tile's side; else the hold-out's.")
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="CARD", help="Build for another machine's card, such as sm89.")
    ] = "",
    runs: Runs = RUNS,
    work: Work = WORK,
    engines: Engines = ENGINES,
    backend: Backend = _REQUEST.backend,
    precision: Precision = _REQUEST.precision,
    tolerance: Tolerance = _REQUEST.tolerance,
    fallback: Fallback = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build the engines that kit predict will take, ahead of it.

    Each is compared with eager PyTorch in float32 and is refused if it changes the MAE too much.
    """
    from kit.engines.compile import compile

    emit = console.begin(json, quiet)
    built = compile(
        variants,
        runs=runs,
        work=work,
        engines=engines,
        request=Request(backend, precision, tolerance, fallback),
        tiles=tiles,
        size=size,
        target=target,
        report=console.say,
    )
    emit([asdict(each) for each in built])
    show.engines(built)


@app.command(epilog="Example: kit predict --ensemble spade4,spade2,p2phd1 --input TEST")
def predict(
    ensemble: Annotated[str, typer.Option(help="Variants with commas, or an ensemble's name.")],
    data: Annotated[
        Path, typer.Option("--input", help="A folder with Sentinel-1 tiles, or one .nc file.")
    ],
    runs: Runs = RUNS,
    predictions: Predictions = PREDICTIONS,
    work: Work = WORK,
    engines: Engines = ENGINES,
    backend: Backend = _REQUEST.backend,
    precision: Precision = _REQUEST.precision,
    tolerance: Tolerance = _REQUEST.tolerance,
    fallback: Fallback = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict every radar scene with each member.

    Engines that pay and are missing are built first, and compared with eager PyTorch on the
    hold-out. What is done already is not done again. Under torchrun each process takes its share.
    """
    from kit.prediction.predict import predict

    emit = console.begin(json, quiet)
    with console.progress("predicting") as advance:
        result = predict(
            ensemble,
            data,
            runs=runs,
            predictions=predictions,
            work=work,
            engines=engines,
            request=Request(backend, precision, tolerance, fallback),
            overwrite=overwrite,
            advance=advance,
            report=console.say,
        )
    emit(asdict(result))
    show.prediction(result, predictions)


@app.command(epilog="Example: kit variants --json")
def variants(json: Json = False, quiet: Quiet = False) -> None:
    """List the paper's variants and ensembles."""
    emit = console.begin(json, quiet)
    listed = [to_dict(variant) for variant in VARIANTS.values()]
    emit({"variants": listed, "ensembles": ENSEMBLES})
    show.variants()


@app.command(epilog="Example: kit doctor")
def doctor(json: Json = False, quiet: Quiet = False) -> None:
    """Report what this machine will use, and why."""
    from kit.cli.doctor import doctor

    emit = console.begin(json, quiet)
    findings = doctor()
    emit([asdict(finding) for finding in findings])
    show.findings(findings)


app.add_typer(training)
app.add_typer(upload)


def main() -> None:
    """Run the command line and exit with the code that `kit.errors` lists."""
    try:
        app(prog_name="kit")
    except KitError as error:
        console.stderr.quiet = False
        console.say(f"error: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        console.stderr.quiet = False
        console.say(f"error: {error}")
        sys.exit(InputError.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            console.stderr.quiet = False
            console.say(
                "interrupted; kit screen, kit pack, kit train and kit predict go on from here"
            )
        raise
