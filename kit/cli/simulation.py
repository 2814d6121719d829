"""kit simulate: a small data set that nobody has to download."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet, Seed

if TYPE_CHECKING:
    from kit.simulation.simulate import World

app = typer.Typer()


@app.command(epilog="Example: kit simulate world --places 24")
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the tiles.")],
    places: Annotated[int, typer.Option(min=1, help="Places to train on.")] = 24,
    test_places: Annotated[int, typer.Option(min=1, help="Places to predict.")] = 6,
    seen_test_places: Annotated[
        int, typer.Option(min=0, help="Places to train on that are to predict too, at other dates.")
    ] = 0,
    dates: Annotated[int, typer.Option(min=1, help="Radar scenes of each place.")] = 4,
    changing: Annotated[
        bool,
        typer.Option("--changing", help="Let crops come and go, rivers rise, forest fall faster."),
    ] = False,
    size: Annotated[int, typer.Option(min=32, help="Side of a tile in pixels.")] = 256,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a small data set in the official tile format.

    OUT/train holds both sensors, OUT/test the radar scenes to predict from, and OUT/truth the
    optical scenes to compare the predictions with.
    """
    from kit.simulation.simulate import simulate

    emit = console.start(json, quiet)
    with console.progress("simulating", "choosing places") as advance:
        world = simulate(
            out,
            places=places,
            test_places=test_places,
            seen_test_places=seen_test_places,
            dates=dates,
            changing=changing,
            size=size,
            seed=seed,
            advance=advance,
        )
    emit(asdict(world))
    _show_world(world)


def _show_world(world: "World") -> None:
    scenes = f"{world.s1_scenes} radar and {world.s2_scenes} optical scenes"
    console.write(f"{world.train.parent}: {scenes}, {world.tiles} tiles")
    console.write(f"next: kit prepare {world.train}")
