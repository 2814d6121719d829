"""Variants so narrow and short that they train in a second or two."""

from kit.variant_settings import Variant
from kit.variants import find_variant

TINY = (
    "width=2", "discriminator_width=2", "batch=4", "crop=32", "epochs=1", "decay_epochs=1",
    "lr=0.002", "discriminator_lr=0.002", "precision=float32",
)  # fmt: skip


def tiny(name: str, *settings: str) -> Variant:
    """The variant called `name`, so narrow and short that it trains in a second or two."""
    return find_variant(name, (*TINY, *settings))
