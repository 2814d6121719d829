"""kit compile and predict: from trained variants to the predictions of an ensemble's members."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.engine_options import (
    Backend,
    Engines,
    Fallback,
    Flips,
    Precision,
    Tolerance,
    engine_text,
)
from kit.cli.next_step import VIEWS, flips_help, predict_next
from kit.cli.options import (
    AnyUnits,
    Ensembles,
    Json,
    Overwrite,
    Predictions,
    Quiet,
    Runs,
    Strict,
    Work,
    units_of,
)
from kit.cli.scores import show_trained_on
from kit.cli.source_options import RadarUnit, Source
from kit.engines.request import Request
from kit.storage.files import ENGINES, FITTED, PREDICTIONS, RUNS, WORK

if TYPE_CHECKING:
    from kit.engines.compile import Built
    from kit.engines.export import Exported
    from kit.prediction.predict import Prediction

app = typer.Typer()

_REQUEST = Request()
_FEW, _SHOWN = 5, 20  # lines about nodata, and rows about what is left out


@app.command("compile", epilog="Example: kit compile spade2 p2phd1 --precision int8")
def compile(
    variants: Annotated[list[str], typer.Argument(metavar="VARIANT...", help="Trained variants.")],
    tiles: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA", help="Radar tiles or images to compare on if there is no hold-out."
        ),
    ] = None,
    source: Source = None,
    radar_unit: RadarUnit = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of a tile in pixels; default: the hold-out's.")
    ] = None,
    target: Annotated[
        str,
        typer.Option(metavar="ARCH", help="Build for another machine's GPU, such as sm89."),
    ] = "",
    runs: Runs = RUNS,
    work: Work = WORK,
    engines: Engines = ENGINES,
    backend: Backend = _REQUEST.backend,
    precision: Precision = _REQUEST.precision,
    tolerance: Tolerance = _REQUEST.tolerance,
    fallback: Fallback = False,
    export: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="onnx FILE", help="Write the generator as one file to take away, from dB to DN."
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build the engines that kit predict uses, ahead of time.

    Each is compared with eager PyTorch in float32, and refused if it changes the MAE by more than
    the tolerance. With --export nothing is built: the generator is written as an ONNX file with its
    scaling inside, for any other program.
    """
    from kit.engines.compile import compile

    emit = console.start(json, quiet)
    if export:
        from kit.engines.compile import export_run

        if tiles or target or backend != "auto" or precision not in ("auto", "float32"):
            raise typer.BadParameter(
                "--export writes float32 for any machine: leave out --tiles, "
                "--target, --backend and --precision"
            )
        if len(variants) > 1:
            raise typer.BadParameter(f"--export writes one generator: name one of {variants}")
        form, file = export
        exported = export_run(
            variants[0], form, file, runs=runs, work=work, size=size, overwrite=overwrite
        )
        emit(asdict(exported))
        _show_exported(exported)
        return
    if (source or radar_unit) and not tiles:
        raise typer.BadParameter("--source and --radar-unit say what --tiles are")
    if overwrite:
        raise typer.BadParameter("--overwrite is for --export: engines are kept beside each other")
    built = compile(
        variants,
        runs=runs,
        work=work,
        engines=engines,
        request=Request(backend, precision, tolerance, fallback),
        tiles=tiles,
        source=source,
        radar_unit=radar_unit and radar_unit.value,
        size=size,
        target=target,
        report=console.write,
    )
    emit([asdict(each) for each in built])
    _show_engines(built, runs)


def _show_exported(made: "Exported") -> None:
    rows = [("in", *each) for each in made.inputs.items()]
    rows += [("out", *each) for each in made.outputs.items()]
    console.table(f"{made.file}", ("", "tensor", "what it holds"), rows)
    console.write(
        f"{made.file}: {made.variant} as ONNX of opset {made.opset}, {made.size / 1e6:.1f} MB, "
        f"float32; any number of tiles of {made.height}x{made.width}"
    )
    console.write(
        f"checked by ONNX Runtime against eager PyTorch on made scenes: mean difference "
        f"{made.mean_difference:.1e} of the range, largest {made.largest_difference:.1e}"
    )


def _show_engines(built: "Sequence[Built]", runs: Path) -> None:
    rows = [
        (
            engine.variant,
            engine.backend,
            engine.precision,
            f"{engine.height}x{engine.width}",
            f"{engine.rate:.3g}" if engine.rate else "-",
            engine.gate,
        )
        for engine in built
    ]
    titles = ("variant", "backend", "precision", "tiles", "images/s", "accuracy check")
    console.table("Engines", titles, rows)
    if any(engine.rate is None for engine in built):
        console.write(
            "next: copy runs and engines to the machine with that GPU; run kit predict there"
        )
    else:
        names = [engine.variant for engine in built]
        console.write(f"next: {predict_next(','.join(names), names, runs)}")


@app.command(epilog="Example: kit predict --ensemble spade4,spade2,p2phd1 --input TEST")
def predict(
    ensemble: Annotated[
        str, typer.Option(help="Variants with commas, or the name of an ensemble.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--input", help="A folder with Sentinel-1 tiles or other radar images, or one .nc file."
        ),
    ],
    source: Source = None,
    radar_unit: RadarUnit = None,
    runs: Runs = RUNS,
    predictions: Predictions = PREDICTIONS,
    work: Work = WORK,
    engines: Engines = ENGINES,
    ensembles: Ensembles = FITTED,
    backend: Backend = _REQUEST.backend,
    precision: Precision = _REQUEST.precision,
    tolerance: Tolerance = _REQUEST.tolerance,
    fallback: Fallback = False,
    flips: Flips = 1,
    overwrite: Overwrite = False,
    strict: Strict = False,
    any_units: AnyUnits = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict every radar scene with each member of an ensemble.

    Missing engines that pay off are built first, and compared with eager PyTorch on the hold-out.
    Existing predictions are kept. Radar images of other layouts (see --source) become tiles first,
    in WORK/inputs, in the units that the weights were trained on. Under torchrun the processes
    share the scenes.
    """
    from kit.prediction.predict import predict

    emit = console.start(json, quiet)
    layout = ""

    def on_size(height: int, width: int) -> None:
        nonlocal layout
        layout = _show_size(height, width)

    with console.progress("predicting", "looking for tiles and engines") as advance:
        result = predict(
            ensemble,
            data,
            runs=runs,
            predictions=predictions,
            work=work,
            engines=engines,
            ensembles=ensembles,
            request=Request(backend, precision, tolerance, fallback),
            flips=flips,
            source=source,
            radar_unit=radar_unit and radar_unit.value,
            units=units_of(strict, any_units),
            overwrite=overwrite,
            advance=advance,
            report=console.write,
            on_size=on_size,
        )
    emit(asdict(result))
    _show_prediction(result, predictions)
    if result.flips == 1 and flips_help(result.members, runs):
        console.write(
            f"one view of each scene: --flips {VIEWS} --overwrite averages {VIEWS} of them, which "
            "most often errs less"
        )
    console.write(f"next: kit package{layout}")


def _show_size(height: int, width: int) -> str:
    """Warn of a size that some layouts refuse; the option that `kit package` then needs."""
    from kit.archive.layout import layout_option, size_warning

    if warning := size_warning(height, width):
        console.write(warning)
    return layout_option(height, width)


def _show_prediction(result: "Prediction", folder: Path) -> None:
    console.write(
        f"{folder}: {result.scenes} scenes by {', '.join(result.members)}; "
        f"{result.done} images predicted, {result.skipped} already there"
    )
    if result.flips > 1:
        console.write(f"each image is the average over {result.flips} views of its scene")
    console.warn(*result.doubts)
    show_trained_on(result.trained_on, result.scenes)
    for variant, engines in result.engines.items():
        console.write(f"{variant}: predicted by {' and '.join(map(engine_text, engines))}")
    for scene, share in [*result.nodata.items()][:_FEW]:
        console.write(
            f"nodata in {share:.2%} of the radar scene {scene}: read as the lowest backscatter"
        )
    if len(result.nodata) > _FEW:
        console.write(f"nodata in {len(result.nodata) - _FEW} more scenes; --json lists them all")
    if result.rejected:
        rows = [(item.name, item.reason) for item in result.rejected[:_SHOWN]]
        console.table("Rejected", ("name", "reason"), rows)
    if len(result.rejected) > _SHOWN:
        console.write(f"and {len(result.rejected) - _SHOWN} more; --json lists them all")
