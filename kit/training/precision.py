"""The precision that a run is trained in: decided at its start, kept in its record."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kit.machine.bfloat16 import bfloat16_pays
from kit.machine.device import pick
from kit.runs.folder import read_variant, saved
from kit.variants.settings import Variant


def settled(variant: Variant, folder: Path) -> Variant:
    """`variant` with a precision in place of auto: the run's, or the faster one on this machine.

    Args:
        variant: what is to be trained.
        folder: of its run, which this process has locked.

    Raises:
        InputError: the run's configuration cannot be read.
    """
    if variant.precision != "auto" or variant.is_fitted:
        return variant
    if not saved(folder):
        half = bfloat16_pays()
    else:
        begun = read_variant(folder).precision
        half = begun == "bfloat16" if begun != "auto" else _assumed()
    return replace(variant, precision="bfloat16" if half else "float32")


def _assumed() -> bool:
    """Whether kits before 0.6.0, which kept auto in the record, trained in bfloat16 here."""
    if pick().type == "cuda":
        return bfloat16_pays()
    about: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(about.get("amx_bf16"))


def slower_here(variant: Variant) -> str:
    """That this machine would train the run faster in another precision; "" if it would not."""
    faster = "bfloat16" if bfloat16_pays() else "float32"
    if variant.is_fitted or variant.precision == faster:
        return ""
    return (
        f"goes on in {variant.precision}, as it was started; this machine computes faster in "
        f"{faster}: --set precision={faster} goes on in that, and its numbers will differ"
    )
