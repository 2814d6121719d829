"""kit train, train-all, status and validate: from pairs to trained variants."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from kit.cli import console
from kit.cli.options import Json, Overwrite, Quiet, Runs, Work
from kit.files import RUNS, WORK
from kit.pairs.source import WORKERS
from kit.variant_settings import PixelLoss, as_fold
from kit.variants import SETS, find_variant, of_sets

if TYPE_CHECKING:
    from kit.runs.status import Status
    from kit.training.train import Run
    from kit.training.train_all import Outcome
    from kit.training.validate import Row

app = typer.Typer()

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change a field; kit variants --fields lists them."
    ),
]
Workers = Annotated[int, typer.Option(min=0, help="Threads that load batches ahead.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the generator with torch.compile first.")
]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write curves to RUNS/VARIANT/tensorboard too.")
]
Groups = Annotated[
    Path | None,
    typer.Option(
        metavar="TABLE",
        help="CSV with lon, lat and group: folds divide no group; default: blocks of places.",
    ),
]


@app.command(epilog="Example: kit train spade2 --set width=32 --set batch=4")
def train(
    variant: Annotated[
        str, typer.Argument(metavar="VARIANT", help="A variant, or a TOML file with a base.")
    ],
    settings: Settings = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Hold out part K of N of the pairs: VARIANT.foldK."),
    ] = None,
    groups: Groups = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    workers: Workers = WORKERS,
    compile: Compile = False,
    tensorboard: Tensorboard = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a variant, or resume its training.

    Under torchrun its processes share the work: torchrun --nproc-per-node 8 -m kit train spade2
    """
    emit = console.start(json, quiet)
    chosen = find_variant(variant, settings or ())
    if fold:
        chosen = as_fold(chosen, *_fold(fold))
    from kit.training.child import as_child
    from kit.training.tensorboard import tensorboard_writer
    from kit.training.train import train

    curves = tensorboard_writer(runs / chosen.name) if tensorboard else None
    with console.progress(chosen.name, "building the networks, and the first steps") as advance:

        def watch(record: dict[str, Any]) -> None:
            if event := _event(record):
                console.write(f"{chosen.name} {event}")
            elif "images_per_s" in record:
                advance(record["step"], record["steps"], _losses(record))
            elif "done" in record:
                advance(record["done"], record["total"], record["words"])
            if curves and "step" in record:
                curves(record)

        with as_child(lambda line: console.write(f"{chosen.name} {line}")):
            run = train(
                chosen,
                work=work,
                runs=runs,
                groups=groups,
                overwrite=overwrite,
                workers=workers,
                compile=compile,
                watch=watch,
            )
    emit(asdict(run))
    _show_run(run)


def _fold(text: str) -> tuple[int, int]:
    """The numbers of a fold that is written as 2/5."""
    fold, _, folds = text.partition("/")
    if not (fold.isdecimal() and folds.isdecimal()):
        raise typer.BadParameter(f"--fold {text} is not written as 2/5")
    return int(fold), int(folds)


def _event(record: dict[str, Any]) -> str:
    """The line that a record of a training deserves; "" if none."""
    if "note" in record:
        return str(record["note"])
    if "whole_s" in record:
        return f"takes {_duration(record['whole_s'])} in all at this rate"
    if "holdout_mae" in record:
        mae, psnr = record["holdout_mae"], record["holdout_psnr"]
        weights = f" ({record['weights']} weights)"
        epoch = f"epoch {record['epoch']}: " if "epoch" in record else ""
        return f"{epoch}hold-out MAE {mae:.5f}, PSNR {psnr:.2f} dB{weights}"
    for name, value in record.items():
        if name.endswith("_spike"):
            network = name.removesuffix("_spike")
            return (
                f"step {record['step']}: clipped the {network}'s gradient, {value:.0f} times usual"
            )
    return ""


def _losses(record: dict[str, Any]) -> str:
    values = [
        f"{name} {record[name]:.4f}" for name in (*get_args(PixelLoss), "gan") if name in record
    ]
    return f"{' '.join(values)} {record['images_per_s']} images/s"


def _show_run(run: "Run") -> None:
    best = f", best hold-out MAE {run.mae:.5f}, PSNR {run.psnr:.2f} dB" if run.mae else ""
    did = f"{run.steps} steps on" if run.steps else "fitted to"
    console.write(f"{run.folder}: {did} {run.pairs} pairs{best}")
    console.write(f"next: kit validate, or kit predict --ensemble {run.folder.name} --input TEST")


@app.command("train-all", epilog="Example: kit train-all --set width=32 --gpus 5")
def train_all(
    variants: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VARIANT...", help=f"Or sets: {', '.join(SETS)}. Default: paper, its five."
        ),
    ] = None,
    settings: Settings = None,
    folds: Annotated[
        int,
        typer.Option(min=1, help="Runs of each variant; each holds out another part of the pairs."),
    ] = 1,
    groups: Groups = None,
    work: Work = WORK,
    runs: Runs = RUNS,
    gpus: Annotated[
        int, typer.Option(min=0, help="Train this many at a time, each on a GPU of its own.")
    ] = 0,
    workers: Workers = WORKERS,
    compile: Compile = False,
    tensorboard: Tensorboard = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several variants, one after the other.

    Finished ones are skipped. If one fails, the others are still trained; the exit code is that of
    the first that failed.
    """
    from kit.training.train_all import train_all

    emit = console.start(json, quiet)
    flags = {"--compile": compile, "--tensorboard": tensorboard, "--quiet": quiet}
    outcomes = train_all(
        of_sets(variants or ["paper"]),
        settings=settings or (),
        folds=folds,
        groups=groups,
        work=work,
        runs=runs,
        gpus=gpus,
        options=("--workers", str(workers), *(flag for flag, given in flags.items() if given)),
        report=console.write,
    )
    emit([asdict(outcome) for outcome in outcomes])
    _show_outcomes(outcomes)
    if failed := [outcome for outcome in outcomes if outcome.exit_code]:
        sys.exit(failed[0].exit_code)


def _show_outcomes(outcomes: "Sequence[Outcome]") -> None:
    rows = [
        (
            outcome.variant,
            f"exit code {outcome.exit_code}" if outcome.exit_code else "done",
            _duration(outcome.seconds),
        )
        for outcome in outcomes
    ]
    console.table("Trained", ("variant", "result", "time"), rows)
    failed = [outcome.variant for outcome in outcomes if outcome.exit_code]
    others = "; the others are trained" if len(failed) < len(outcomes) else ""
    console.write(f"failed: {', '.join(failed)}{others}" if failed else "next: kit validate")


@app.command(epilog="Example: kit status")
def status(runs: Runs = RUNS, json: Json = False, quiet: Quiet = False) -> None:
    """Show the progress of every run."""
    from kit.runs.status import status

    emit = console.start(json, quiet)
    found = status(runs)
    emit([asdict(run) for run in found])
    _show_status(found)


def _show_status(found: "Sequence[Status]") -> None:
    rows = [
        (
            run.variant,
            run.state,
            run.step,
            run.steps or "",
            f"{run.images_per_s:.1f}" if run.images_per_s else "",
            _duration(run.left_s) if run.left_s else "",
            f"{run.mae:.5f}" if run.mae is not None else "",
            run.mae_step if run.mae_step is not None else "",
        )
        for run in found
    ]
    titles = ("variant", "state", "step", "of", "images/s", "left", "best MAE", "at step")
    console.table("Runs", titles, rows)
    for run in found:
        if run.command:
            console.write(f"to resume {run.variant}: {run.command}")


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score trained variants on the hold-out: Table 1."""
    from kit.training.validate import validate

    emit = console.start(json, quiet)
    with console.progress("validating", "loading the first variant") as advance:
        rows = validate(
            variants or (),
            work=work,
            runs=runs,
            measure=measure,
            advance=advance,
            report=console.write,
        )
    emit([_row(row) for row in rows])
    _show_validation(rows, measure)


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


def _show_validation(rows: "Sequence[Row]", measure: str) -> None:
    from kit.training.validate import ranked

    for part in dict.fromkeys(row.part for row in rows):
        table = [row for row in rows if row.part == part]
        _show_part(str(part), table, measure)
    for row in {row.variant: row for row in rows}.values():
        if row.warning:
            console.write(f"warning: {row.variant} {row.warning}")
    first = [row for row in rows if row.part == rows[0].part and not row.is_baseline]
    best = ranked(first, measure)
    alike = [row.variant for row in best if row.target == best[0].target][:3]
    console.write(f"next: kit predict --ensemble {','.join(alike)} --input TEST")


def _show_part(title: str, rows: "Sequence[Row]", measure: str) -> None:
    """The table of one part, and what its pairs are too few to tell."""
    from kit.intervals import ENOUGH_PLACES

    others = [*rows[0].scores.others]
    pairs = f"{rows[0].scores.n} pairs of {rows[0].places} places"
    console.table(
        f"{title}: {pairs}; {measure} counts",
        (
            *("variant", "MAE", "PSNR", "pooled PSNR", *others),
            *(f"95 % of {measure}", "paper's MAE", "paper's PSNR"),
        ),
        [
            (
                row.variant if row.target == "reflectance" else f"{row.variant} ({row.target})",
                console.number(row.scores.mae, ".5f"),
                console.number(row.scores.psnr, ".2f"),
                console.number(row.scores.psnr_pooled, ".2f"),
                *(console.number(row.scores.others[name], ".4f") for name in others),
                "{:.4g} to {:.4g}".format(*row.interval) if row.interval else "",
                *((f"{row.paper[0]:.5f}", f"{row.paper[1]:.2f}") if row.paper else ("", "")),
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.not_beaten:
            console.write(f"{row.variant} is no better here than {', '.join(row.not_beaten)}")
        if row.behind and (row.behind[1] <= 0 or row.places < ENOUGH_PLACES):
            worse, low, high = row.behind
            console.write(
                f"{pairs} are too few to tell {row.variant} from the best: {measure} is "
                f"worse by {worse:.4g}, 95 % interval {low:.4g} to {high:.4g}"
            )
