"""kit variants: what there is to train and to average, and the fields of a variant."""

from dataclasses import asdict
from typing import Annotated

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet
from kit.variants.fields import Field, fields
from kit.variants.registry import ENSEMBLES, PAPER, PAPER_LEADERBOARD, SETS, VARIANTS
from kit.variants.settings import PixelLoss, Variant, to_dict, value_text

app = typer.Typer()


@app.command(epilog="Example: kit variants --json")
def variants(
    list_fields: Annotated[
        bool, typer.Option("--fields", help="List the fields that --set and a TOML file change.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List variants, sets and ensembles, or what --set changes."""
    emit = console.start(json, quiet)
    if list_fields:
        emit([asdict(field) for field in fields()])
        _show_fields()
        return
    listed = [to_dict(variant) for variant in VARIANTS.values()]
    emit({"variants": listed, "sets": SETS, "ensembles": ENSEMBLES})
    show_variants()


def show_variants() -> None:
    """Print the paper's Table 1 and Table 2, and what the kit adds."""
    rows = []
    for v in VARIANTS.values():
        mae, psnr = PAPER.get(v.name, ("", ""))
        rows.append((v.name, v.model, _loss(v), v.dataset, mae, psnr))
    titles = ("name", "model", "loss", "dataset", "paper's MAE", "paper's PSNR")
    console.table("Variants", titles, rows)
    console.table(
        "Sets, for kit train-all",
        ("name", "variants"),
        [(name, ", ".join(members)) for name, members in SETS.items()],
    )
    console.table(
        "Ensembles",
        ("name", "members", "paper's leaderboard score"),
        [
            (name, ", ".join(members), PAPER_LEADERBOARD.get(name, ""))
            for name, members in ENSEMBLES.items()
        ],
    )
    console.write('next: kit train spade2, or one of your own: a TOML file with base = "spade2"')


def _show_fields() -> None:
    rows = [(field.name, field.type, _default(field), field.doc) for field in fields()]
    console.table("Fields of a variant", ("field", "type", "default", "meaning"), rows)
    console.write("next: kit train spade2 --set width=32, or a TOML file with a base and fields")


def _default(field: Field) -> str:
    return "" if field.default is None else value_text(field.default)


_PIXEL_LOSSES: dict[PixelLoss, str] = {"l1": "L1", "charbonnier": "Charbonnier", "mse": "MSE"}


def _loss(variant: Variant) -> str:
    parts = ["GAN"] if variant.gan else []
    if variant.l1:
        weight = "" if variant.l1 == 1 else f"{variant.l1:g} "
        parts.append(weight + _PIXEL_LOSSES[variant.pixel_loss])
    return " + ".join(parts)
