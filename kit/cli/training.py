"""The commands around training: parse, call, show, each for the module of the same name."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from kit.cli import console, show
from kit.cli.options import Json, Overwrite, Quiet, Runs, Settings, Work, Workers
from kit.files import RUNS, WORK
from kit.pairs.source import WORKERS
from kit.variants import VARIANTS, find_variant

app = typer.Typer()

_Compile = Annotated[
    bool, typer.Option("--compile", help="Let torch.compile translate the generator first.")
]
_Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write curves to RUNS/VARIANT/tensorboard too.")
]


@app.command(epilog="Example: kit pack")
def pack(work: Work = WORK, json: Json = False, quiet: Quiet = False) -> None:
    """Put the pixels of all pairs into a few large files, which training reads instead of tiles.

    What is packed already is not packed again.
    """
    from kit.pairs.pack import pack

    emit = console.begin(json, quiet)
    with console.progress("packing") as advance:
        result = pack(work, advance=advance, announce=show.plan)
    emit(asdict(result))
    show.packed(result)


@app.command(epilog="Example: kit train spade2 --set width=32 --set batch=4")
def train(
    variant: Annotated[
        str, typer.Argument(metavar="VARIANT", help="A variant, or a TOML file with a base.")
    ],
    settings: Settings = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    workers: Workers = WORKERS,
    compile: _Compile = False,
    tensorboard: _Tensorboard = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a variant, or go on with its training.

    Under torchrun its processes share the work: torchrun --nproc-per-node 8 -m kit train spade2
    """
    emit = console.begin(json, quiet)
    chosen = find_variant(variant, settings or ())
    from kit.training.tensorboard import board
    from kit.training.train import train

    curves = board(runs / chosen.name) if tensorboard else None
    with console.progress(chosen.name) as advance:

        def watch(record: dict[str, Any]) -> None:
            if words := show.event(record):
                console.say(f"{chosen.name} {words}")
            elif "images_per_s" in record:
                advance(record["step"], record["steps"], show.losses(record))
            if curves and "step" in record:
                curves(record)

        run = train(
            chosen,
            work=work,
            runs=runs,
            overwrite=overwrite,
            workers=workers,
            compile=compile,
            watch=watch,
        )
    emit(asdict(run))
    show.run(run)


@app.command("train-all", epilog="Example: kit train-all --set width=32 --gpus 5")
def train_all(
    variants: Annotated[
        list[str] | None, typer.Argument(metavar="VARIANT...", help="The paper's five if none.")
    ] = None,
    settings: Settings = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    gpus: Annotated[
        int, typer.Option(min=0, help="Train as many at a time, each on a GPU of its own.")
    ] = 0,
    workers: Workers = WORKERS,
    compile: _Compile = False,
    tensorboard: _Tensorboard = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several variants, one after the other.

    What is finished is passed over. One that fails does not stop the others; the exit code is its.
    """
    from kit.training.train_all import train_all

    emit = console.begin(json, quiet)
    flags = {"--compile": compile, "--tensorboard": tensorboard, "--quiet": quiet}
    outcomes = train_all(
        variants or tuple(VARIANTS),
        settings=settings or (),
        work=work,
        runs=runs,
        gpus=gpus,
        options=("--workers", str(workers), *(flag for flag, given in flags.items() if given)),
        report=console.say,
    )
    emit([asdict(outcome) for outcome in outcomes])
    show.outcomes(outcomes)
    if failed := [outcome for outcome in outcomes if outcome.exit_code]:
        sys.exit(failed[0].exit_code)


@app.command(epilog="Example: kit status")
def status(runs: Runs = RUNS, json: Json = False, quiet: Quiet = False) -> None:
    """Show how far every run is."""
    from kit.runs.status import status

    emit = console.begin(json, quiet)
    found = status(runs)
    emit([asdict(run) for run in found])
    show.status(found)


@app.command(epilog="Example: kit validate spade2 p2phd1")
def validate(
    variants: Annotated[
        list[str] | None, typer.Argument(metavar="VARIANT...", help="All trained ones if none.")
    ] = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score trained variants on the hold-out: Table 1."""
    from kit.training.validate import validate

    emit = console.begin(json, quiet)
    with console.progress("validating") as advance:
        rows = validate(variants or (), work=work, runs=runs, advance=advance)
    emit([{"variant": row.variant} | asdict(row.scores) for row in rows])
    show.validation(rows)
