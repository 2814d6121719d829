"""The options that several files of commands share, each with its one help text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.doubt import Units

Json = Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Work = Annotated[Path, typer.Option(help="The folder of tables.")]
Runs = Annotated[Path, typer.Option(help="The folder of trained variants.")]
Predictions = Annotated[Path, typer.Option(help="The folder of predictions.")]
Submissions = Annotated[Path, typer.Option(help="The folder of archives.")]
Ensembles = Annotated[Path, typer.Option(help="The folder of fitted ensembles.")]
Measure = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The measure that counts; default: that of the layout."),
]
Layout = Annotated[str, typer.Option(help="2022, 2023, plain, or a TOML file of your own.")]
Expected = Annotated[Path | None, typer.Option(help="The server's list of file names, as JSON.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say what each measure is.")]
Window = Annotated[int, typer.Option(min=0, help="Most days between radar and optical scene.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at every doubt that pixels are dB and DN.")
]
AnyUnits = Annotated[
    bool, typer.Option("--any-units", help="Take pixels for dB and DN, whatever their values are.")
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]


def units_of(strict: bool, any_units: bool) -> "Units":
    """What is to become of doubts about units, by two options of which one may be given."""
    if strict and any_units:
        raise typer.BadParameter("--strict and --any-units cannot be combined")
    return "strict" if strict else "any" if any_units else "check"


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether an option was given, and is not its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def option_of(name: str) -> str:
    """The option of a parameter."""
    return f"--{name.replace('_', '-')}"


def refuse_without(context: typer.Context, needed: str, *names: str) -> None:
    """Refuse options that say how something is done that was not asked for.

    Args:
        context: of the command.
        needed: the parameter that asks for it.
        names: of the parameters that say how.

    Raises:
        typer.BadParameter: one was given without the needed one.
    """
    for name in names:
        if is_typed(context, name) and not context.params[needed]:
            raise typer.BadParameter(f"{option_of(name)} requires {option_of(needed)}")
