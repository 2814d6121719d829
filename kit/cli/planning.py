"""kit plan and compete: what to train within a time, and all commands up to the archive."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.cloud_options import (
    RULE,
    DetectorOnOption,
    DetectorOption,
    MinArea,
    detector_of,
)
from kit.cli.options import Expected, Json, Layout, Measure, Overwrite, Quiet, Work
from kit.cli.source_options import Source
from kit.plain_text import count_of, duration
from kit.planning.plan import PLAN, read_plan, write_plan
from kit.storage.files import WORK, refuse_existing

if TYPE_CHECKING:
    from kit.planning.outlook import Outlook
    from kit.planning.plan import Plan

app = typer.Typer()

Hours = Annotated[float, typer.Option(metavar="H", min=0, help="Everything ends within H hours.")]


@app.command(epilog="Example: kit plan --hours 8 --input TEST")
def plan(
    hours: Hours,
    test: Annotated[
        Path | None,
        typer.Option("--input", metavar="TEST", help="The tiles that are to be predicted."),
    ] = None,
    source: Source = None,
    measure: Annotated[
        str, typer.Option(metavar="NAME", help="What counts: mae, psnr, official_2022 or _2023.")
    ] = "official_2022",
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="The file to write.")
    ] = PLAN,
    work: Work = WORK,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="Trainings at a time; default: one on each GPU.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan what to train, so that all ends within the hours.

    That is everything up to the archive. A few steps of each variant are measured on this machine.
    The plan is a TOML file to read and edit; kit train-all --plan follows it.
    """
    emit = console.start(json, quiet)
    refuse_existing(output, "follow it, give --overwrite, or another --output", overwrite)
    from kit.planning.outlook import instead_of_holding_out
    from kit.planning.planner import make_plan

    made = make_plan(
        hours, measure=measure, test=test, source=source, work=work, gpus=gpus, report=console.write
    )
    advice = instead_of_holding_out(made, work)
    write_plan(output, made)
    emit(asdict(made) | {"path": str(output), "advice": advice})
    _show_plan(made)
    console.write(f"written: {output}")
    console.write(f"next: kit train-all --plan {output}")
    if advice:
        console.write(f"or rather: {advice}")


def _show_plan(made: "Plan") -> None:
    """Print what a plan trains, what each part takes, and why others are left out."""
    rows = [
        (each.name, " ".join(each.texts), duration(each.minutes * 60)) for each in made.trainings
    ]
    within = duration(made.hours * 3600)
    folds = f" in {made.folds} folds" if made.folds > 1 else ""
    folds += ", then on all of them" if made.all_pairs else ""
    title = f"Plan of {within} for {made.measure} on {made.machine}: {made.pairs} pairs{folds}"
    console.table(title, ("variant", "settings", "time"), rows)
    parts = ", ".join(
        f"{name.replace('_', ' ')} {duration(minutes * 60)}"
        for name, minutes in made.minutes.items()
    )
    views = f"{count_of(made.flips, 'view')} of each scene"
    console.write(f"{parts}; {views}" if parts else views)
    if made.pack:
        console.write("a batch takes longer to read than a step: kit pack pays")
    for name, why in made.left_out.items():
        console.write(f"left out: {name}: {why}")


@app.command(epilog="Example: kit compete DATA TEST --hours 8 --expected files.json")
def compete(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Tiles or images of both sensors.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="Radar tiles or images to predict.")],
    hours: Hours,
    layout: Layout = "2022",
    expected: Expected = None,
    measure: Measure = None,
    name: Annotated[str, typer.Option(help="Name of the ensemble and of the archive.")] = "compete",
    source: Source = None,
    min_area: MinArea = RULE.min_area,
    detector: DetectorOption = None,
    detector_on: DetectorOnOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands, and run none.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the best archive that the hours give.

    It runs all commands from tiles, or images of another layout, to the last check. Each is printed
    before it is run, and can be typed by hand; the folders are those of the current one. Killed at
    any moment and typed again, it goes on.
    """
    emit = console.start(json, quiet)
    from kit.planning import compete as planned
    from kit.planning.inputs import Request

    second = detector_of(detector, detector_on)
    request = Request(data, test, hours, layout, expected, measure, name, source, min_area, second)
    if dry_run:
        steps = planned.dry_run(request, report=console.write)
        made = read_plan(PLAN) if PLAN.exists() else None
        commands = [{"command": str(step), "done": step.done} for step in steps]
        emit({"commands": commands, "plan": made and asdict(made)})
        if made:
            _show_plan(made)
        return
    found = planned.compete(request, quiet=quiet, report=console.write)
    emit(asdict(found))
    _show_outlook(found)


def _show_outlook(found: "Outlook") -> None:
    from kit.pairs.kinds import of_kinds

    low, high = found.interval
    scenes = f"{found.scenes} held-out scenes{of_kinds(found.kinds)}"
    console.write(
        f"{found.archive}: expect {found.measure} {found.score:.4g}, 95 % interval {low:.4g} to "
        f"{high:.4g}, as on {scenes}; of {', '.join(found.members)}"
    )
    for line in found.better:
        console.write(f"would improve it: {line}")
    console.write(f"next: upload it, or kit score {found.archive} TRUTH")
