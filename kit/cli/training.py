"""kit train and train-all: from pairs to trained variants."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from kit.cli import console
from kit.cli.next_step import predict_next
from kit.cli.options import Json, Overwrite, Quiet, Runs, Work
from kit.errors import InputError
from kit.machine.cores import loader_threads
from kit.plain_text import count_of, duration
from kit.planning.plan import read_plan
from kit.storage.files import RUNS, WORK
from kit.variants.fold_names import base_name
from kit.variants.registry import SETS, find_variant, of_sets
from kit.variants.settings import PixelLoss, as_fold

if TYPE_CHECKING:
    from kit.training.train import Run
    from kit.training.train_all import Outcome

app = typer.Typer()

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change a field; kit variants --fields lists them."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Threads that load batches ahead. Default: 1; on CUDA up to 4."),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Run the generator's steps by torch.compile. Default: on CUDA, where that pays.",
    ),
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
Note = Annotated[str, typer.Option(help="What to remember of it, shown wherever it is listed.")]


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
    hours: Annotated[
        float | None,
        typer.Option(metavar="H", min=0, help="Train for as many epochs as end within H hours."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Fine-tune: start from this weights.safetensors."),
    ] = None,
    note: Note = "",
    work: Work = WORK,
    runs: Runs = RUNS,
    workers: Workers = None,
    compile: Compile = None,
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
    from kit.training import child
    from kit.training.tensorboard import tensorboard_writer
    from kit.training.train import train

    curves = tensorboard_writer(runs / chosen.name) if tensorboard else None
    planned_s = hours * 3600 if hours else child.planned_s()
    with console.progress(chosen.name, "building the networks, and the first steps") as advance:

        def watch(record: dict[str, Any]) -> None:
            if event := _event(record, planned_s):
                console.write(f"{chosen.name} {event}")
            elif "images_per_s" in record:
                advance(record["step"], record["steps"], _losses(record))
            elif "done" in record:
                advance(record["done"], record["total"], record["words"])
            if curves and "step" in record:
                curves(record)

        with child.as_child(lambda line: console.write(f"{chosen.name} {line}")):
            run = train(
                chosen,
                work=work,
                runs=runs,
                groups=groups,
                hours=hours,
                init=init,
                note=note,
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


def _event(record: dict[str, Any], planned_s: float | None = None) -> str:
    """The line that a record of a training deserves; "" if none."""
    if "note" in record:
        return str(record["note"])
    if "hours" in record:
        hours, step = duration(record["hours"] * 3600), record["step_s"]
        return f"{record['steps']} steps end within {hours} at {step:.3g} s a step, as measured"
    if "patience" in record:
        validations = count_of(record["patience"], "validation")
        error = record.get("counts", "mae").upper()
        return f"ends early: no better hold-out {error} in {validations}"
    if "whole_s" in record:
        return _whole(record["whole_s"], planned_s)
    if "holdout_mae" in record:
        mae, psnr = record["holdout_mae"], record["holdout_psnr"]
        weights = f" ({record['weights']} weights)"
        epoch = f"epoch {record['epoch']}: " if "epoch" in record else ""
        mse = f"MSE {record['holdout_mse']:.6f}, " if "holdout_mse" in record else ""
        return f"{epoch}hold-out {mse}MAE {mae:.5f}, PSNR {psnr:.2f} dB{weights}"
    for name, value in record.items():
        if name.endswith("_spike"):
            network = name.removesuffix("_spike")
            return (
                f"step {record['step']}: clipped the {network}'s gradient, {value:.0f} times usual"
            )
    return ""


def _whole(seconds: float, planned_s: float | None) -> str:
    """How long a training takes; and where that is more than was planned, the choice it leaves."""
    takes = f"takes {duration(seconds)} in all at this rate"
    if planned_s is None or seconds <= planned_s:
        return takes
    return (
        f"{takes}, not the {duration(planned_s)} that were planned: this machine is slower "
        "than measured. Let it run; or stop it, and start again with --overwrite and fewer epochs; "
        "what its last validation has exported can be predicted with at any time"
    )


def _losses(record: dict[str, Any]) -> str:
    values = [
        f"{name} {record[name]:.4f}" for name in (*get_args(PixelLoss), "gan") if name in record
    ]
    return f"{' '.join(values)} {record['images_per_s']} images/s"


def _show_run(run: "Run") -> None:
    best = f", best: hold-out MAE {run.mae:.5f}, PSNR {run.psnr:.2f} dB" if run.mae else ""
    did = f"{run.steps} steps on" if run.steps else "fitted to"
    console.write(f"{run.folder}: {did} {run.pairs} pairs{best}")
    validate = "" if run.mae is None else "kit validate, or "
    name = run.folder.name
    console.write(f"next: {validate}{predict_next(name, (name,), run.folder.parent)}")


@app.command("train-all", epilog="Example: kit train-all --set width=32 --gpus 5")
def train_all(
    variants: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VARIANT...", help=f"Or sets: {', '.join(SETS)}. Default: paper, its five."
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What kit plan has written: variants, settings, folds."),
    ] = None,
    settings: Settings = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs of each variant; each holds out another part of the pairs. Default: 1.",
        ),
    ] = None,
    groups: Groups = None,
    note: Note = "",
    work: Work = WORK,
    runs: Runs = RUNS,
    gpus: Annotated[
        int | None,
        typer.Option(min=0, help="Train this many at a time, each on a GPU of its own."),
    ] = None,
    workers: Workers = None,
    compile: Compile = None,
    tensorboard: Tensorboard = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several variants, one after the other.

    Finished ones are skipped. If one fails, the others are still trained; the exit code is that of
    the first that failed.
    """
    from kit.training.train_all import Training, train_all

    emit = console.start(json, quiet)
    all_pairs = False
    trainings: Sequence[str | Training] = of_sets(variants or ["paper"])
    if plan:
        if variants or folds is not None:
            raise typer.BadParameter("--plan names the variants and their folds: leave these out")
        planned = read_plan(plan)
        trainings = [
            Training(each.variant, each.texts, each.minutes * 60 or None)
            for each in planned.trainings
        ]
        all_pairs = planned.all_pairs
        folds, gpus = planned.folds, planned.gpus if gpus is None else gpus
    flags = {
        "--compile": compile,
        "--no-compile": compile is False,
        "--tensorboard": tensorboard,
        "--quiet": quiet,
    }
    if workers is None and gpus:
        workers = loader_threads(for_card=True, sharing=gpus)
    outcomes = train_all(
        trainings,
        settings=settings or (),
        folds=folds or 1,
        all_pairs=all_pairs,
        groups=groups,
        work=work,
        runs=runs,
        gpus=gpus or 0,
        options=(
            *(() if workers is None else ("--workers", str(workers))),
            *(flag for flag, given in flags.items() if given),
            *(("--note", note) if note else ()),
        ),
        report=console.write,
    )
    emit([asdict(outcome) for outcome in outcomes])
    _show_outcomes(outcomes, work, runs)
    if failed := [outcome for outcome in outcomes if outcome.exit_code]:
        sys.exit(failed[0].exit_code)


def _show_outcomes(outcomes: "Sequence[Outcome]", work: Path, runs: Path) -> None:
    from kit.pairs.summary import SUMMARY, read_summary

    rows = [
        (
            outcome.variant,
            f"exit code {outcome.exit_code}" if outcome.exit_code else "done",
            duration(outcome.seconds),
        )
        for outcome in outcomes
    ]
    console.table("Trained", ("variant", "result", "time"), rows)
    failed = [outcome.variant for outcome in outcomes if outcome.exit_code]
    others = "; the others are trained" if len(failed) < len(outcomes) else ""
    if failed:
        console.write(f"failed: {', '.join(failed)}{others}")
        return
    names = [outcome.variant for outcome in outcomes]
    in_folds = any(base_name(name) != name for name in names)
    summary: dict[str, Any] = {}
    with suppress(InputError):  # what was trained is shown whatever became of it
        summary = read_summary(work / SUMMARY)
    if in_folds or summary.get("holdout", 1):
        console.write("next: kit validate")
    else:
        console.write(f"next: {predict_next(','.join(names), names, runs)}")
