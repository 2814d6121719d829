"""Variants so narrow and short that they train in a second or two."""

from kit.variants.registry import find_variant
from kit.variants.settings import Variant

TINY = (
    "width=2", "discriminator_width=2", "batch=4", "crop=32", "epochs=1", "decay_epochs=1",
    "lr=0.002", "discriminator_lr=0.002", "precision=float32",
)  # fmt: skip


def tiny(name: str, *settings: str) -> Variant:
    """The variant called `name`, so narrow and short that it trains in a second or two."""
    return find_variant(name, (*TINY, *settings))
