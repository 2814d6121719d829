"""kit pack: the pixels of pairs in a few large files."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet, Work
from kit.storage.files import WORK

if TYPE_CHECKING:
    from kit.pairs.pack import Packed, PackPlan

app = typer.Typer()


@app.command(epilog="Example: kit pack")
def pack(work: Work = WORK, json: Json = False, quiet: Quiet = False) -> None:
    """Copy the pixels of all pairs into a few large files.

    Training then reads these in place of the tiles. Pairs that are packed already are not packed
    again.
    """
    from kit.pairs.pack import pack

    emit = console.start(json, quiet)
    with console.progress("packing", "reading the table of pairs") as advance:
        result = pack(work, advance=advance, announce=_show_plan)
    emit(asdict(result))
    _show_pack(result)


def _show_plan(plan: "PackPlan") -> None:
    size, to_write, free = (
        f"{count / 1e9:.3g} GB" for count in (plan.bytes, plan.bytes_to_write, plan.free)
    )
    console.write(
        f"{plan.folder}: {plan.pairs:,} pairs in {plan.shards} shards, {size}; "
        f"to write: {plan.shards_to_write} shards, {to_write}; disk free: {free}"
    )


def _show_pack(result: "Packed") -> None:
    rows = [
        ("pairs", f"{result.pairs:,}"),
        ("shards", result.shards),
        ("of these already packed", result.shards_before),
        ("shards removed", result.shards_removed),
        ("bytes", f"{result.bytes:,}"),
    ]
    console.table(f"Pack ({result.folder})", ("", "number"), rows)
    console.write("next: kit train spade2, which now reads the pack and no tile")
