"""The command that trains a variant.

In: a variant. Out: `kit train` with the row of `kit.variants.registry` that it is closest to, and
settings.
"""

import shlex
from dataclasses import replace

from kit.variants.registry import VARIANTS
from kit.variants.settings import Variant, setting_text, to_dict


def train_command(variant: Variant) -> str:
    """The command that trains `variant`: `kit train`, the closest of `VARIANTS`, and settings."""
    fold = ["--fold", f"{variant.fold}/{variant.folds}"] if variant.folds > 1 else []
    variant = replace(variant, name=variant.base_name, folds=1, fold=1)

    def settings(base: Variant) -> list[str]:
        ours, theirs = to_dict(variant), to_dict(base)
        return [
            setting_text(field, value) for field, value in ours.items() if value != theirs[field]
        ]

    base = min(VARIANTS.values(), key=lambda each: len(settings(each)))
    every = [part for setting in settings(base) for part in ("--set", setting)]
    return shlex.join(["kit", "train", base.name, *every, *fold])
