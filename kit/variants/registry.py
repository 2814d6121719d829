"""The rows of the paper's Table 1 and Table 2, rows beyond it, and how a user makes their own.

Paper: Gou et al., "SAR-to-optical image translation" for MultiEarth 2022 (arXiv 2207.00001).
A new idea is one more row here, or a TOML file with `base = "spade2"` and the fields that differ.
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.errors import InputError, no_such
from kit.variants.overlay import from_toml, overlay
from kit.variants.settings import Variant

# Two-timescale Adam and hinge loss as SPADE's authors trained; Adam and LSGAN as pix2pixHD's did.
SPADE1 = Variant(
    name="spade1", model="spade", norm="sync_batch", dataset=1, gan=1.0, l1=1000.0,
    lr=1e-4, discriminator_lr=4e-4, betas=(0.0, 0.9),
)  # fmt: skip
SPADE2 = replace(SPADE1, name="spade2", gan=0.0, l1=1.0)
SPADE3 = replace(SPADE1, name="spade3", gan=0.0, l1=100.0)
P2PHD1 = Variant(
    name="p2phd1", model="pix2pixhd", norm="instance", dataset=1, gan=0.0, l1=1.0,
    lr=2e-4, discriminator_lr=2e-4, betas=(0.5, 0.999),
)  # fmt: skip
SPADE4 = replace(SPADE1, name="spade4", dataset=2)

# Beyond the paper. In SPADE's norms one speckled pixel no longer stands for up to 32 x 32.
SPADE5 = replace(SPADE2, name="spade5", dataset=2, radar_resize="mean")
# With batch norm the level of the radar is seen.
P2PHD2 = replace(P2PHD1, name="p2phd2", dataset=2, norm="batch")
# With the optimiser of NAFNet's authors.
NAFNET1 = replace(
    P2PHD2, name="nafnet1", model="nafnet", norm="layer", output="linear", width=32,
    lr=1e-3, betas=(0.9, 0.9), schedule="cosine", weight_decay=1e-3,
)  # fmt: skip
UNET1 = replace(
    NAFNET1, name="unet1", model="unet", norm="batch", betas=(0.9, 0.999), weight_decay=1e-2
)
# For a few dozen pairs: narrow, for crops that show most of a tile, on averages of few steps.
UNET2 = replace(UNET1, name="unet2", lr=6e-3, width=16, crop=128, ema=0.99, turns=True)
NAFNET2 = replace(
    NAFNET1, name="nafnet2", lr=3e-3, width=16, crop=128, batch=4, ema=0.99, turns=True
)
# Fitted in seconds: what every network has to beat. The best thresholds are often those of single
# scenes, which random ones are not.
TREES1 = replace(
    P2PHD2, name="trees1", model="trees", boxes=(5, 15, 31), lr=0.06, trees=150, thresholds="random"
)
# What the place looked like at other dates, for test places that occur in training.
PRIOR1 = replace(P2PHD2, name="prior1", model="prior", prior=True)
# For the server's measure, which stretches every image between its extremes.
TREES1M = replace(TREES1, name="trees1m", target="minmax", pixel_loss="mse", tile_statistics=True)
NAFNET1M = replace(NAFNET1, name="nafnet1m", target="minmax", pixel_loss="mse")
UNET1M = replace(UNET1, name="unet1m", target="minmax", pixel_loss="mse")
PRIOR1M = replace(PRIOR1, name="prior1m", target="minmax", pixel_loss="mse")
UNET2M = replace(UNET2, name="unet2m", target="minmax", pixel_loss="mse")
NAFNET2M = replace(NAFNET2, name="nafnet2m", target="minmax", pixel_loss="mse")

VARIANTS = {
    variant.name: variant
    for variant in (
        SPADE1, SPADE2, SPADE3, P2PHD1, SPADE4, SPADE5, P2PHD2, NAFNET1, UNET1, UNET2, NAFNET2,
        TREES1, PRIOR1, TREES1M, PRIOR1M, NAFNET1M, UNET1M, UNET2M, NAFNET2M
    )
}  # fmt: skip
ENSEMBLES = {
    "submission1": ("spade1", "spade2", "spade3"),
    "submission2": ("spade4", "spade2", "p2phd1"),
}

# Self-evaluation on 1,000 held-out pairs (MAE, PSNR in dB), and the leaderboard's score.
PAPER = {
    "spade1": (0.02447, 30.1179),
    "spade2": (0.02194, 31.0926),
    "spade3": (0.02212, 31.0589),
    "p2phd1": (0.02258, 30.9797),
    "spade4": (0.02384, 30.0793),
}
PAPER_LEADERBOARD = {"submission1": 0.0344979, "submission2": 0.0279459}

# What `kit train-all` trains by one name: for the challenge by MAE, and by the server's measure;
# and for a few dozen pairs.
SETS = {
    "paper": tuple(PAPER),
    "best": ("trees1", "spade2", "spade5", "p2phd2", "nafnet1", "unet1"),
    "server": ("trees1m", "nafnet1m", "unet1m"),
    "small": ("trees1", "unet2", "nafnet2"),
}
FEW_PAIRS = 200
"""Of so many pairs to train on, "small" is no longer the set to train."""


def find_variant(name: str, settings: Sequence[str] = ()) -> Variant:
    """The variant called `name`, or described by the TOML file `name`, with `settings` applied.

    Args:
        name: a key of `VARIANTS`, or a path that ends in `.toml`.
        settings: texts such as `width=16`, each replacing one field.

    Raises:
        InputError: unknown variant, unknown field, or a value of the wrong kind.
    """
    if name.endswith(".toml"):
        variant = from_toml(Path(name), VARIANTS)
    elif name in VARIANTS:
        variant = VARIANTS[name]
    elif name in SETS:
        remedy = f"kit train-all {name} trains {', '.join(SETS[name])}; or name one of them"
        raise InputError(name, "a set of variants, not one", remedy=remedy)
    elif len(names := [part.strip() for part in name.split(",")]) > 1:
        remedy = f"one after the other: kit train-all {' '.join(names)}"
        raise InputError(name, "several variants, not one", remedy=remedy)
    else:
        raise no_such("variant", name, VARIANTS, ", or a TOML file of your own")
    changes: dict[str, Any] = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise InputError(
                setting, "not a setting", remedy="write it as field=value, such as width=16"
            )
        if field == "name":  # whatever it would be in TOML, such as 2020
            changes[field] = text.strip("\"'")
            continue
        try:
            changes |= tomllib.loads(f"{field} = {text}")
        except (ValueError, RecursionError):
            changes[field] = text
    return overlay(variant, changes, variant.name)


def no_such_ensemble(
    name: str, known: Iterable[str], more: str = "", *, what: str = "variant or ensemble"
) -> InputError:
    """The error for a name that no ensemble has, as `kit.errors.no_such`; a set is called one."""
    error = no_such(what, name, known, more)
    if name not in SETS:
        return error
    remedy = f"fit what is trained by this name: kit fit --name {name}; or {error.remedy}"
    return InputError(name, "a set for kit train-all, and no ensemble yet", remedy=remedy)


def of_sets(names: Sequence[str]) -> tuple[str, ...]:
    """The names with those of `SETS` replaced by their variants, each once, in order."""
    return tuple(dict.fromkeys(each for name in names for each in SETS.get(name, (name,))))


def variant(base: str, **fields: Any) -> Variant:
    """The variant called `base` with some fields replaced, as in `variant("spade2", width=32)`.

    Args:
        base: as `find_variant` takes it.
        fields: of `Variant`.

    Raises:
        InputError: unknown variant, unknown field, or a value of the wrong kind.
    """
    found = find_variant(base)
    return overlay(found, fields, found.name)


def ensemble_members(ensemble: str) -> tuple[str, ...]:
    """The variants of an ensemble, given by its name or as `spade4,spade2,p2phd1`.

    Raises:
        InputError: nothing is named, or something twice.
    """
    names = ENSEMBLES.get(ensemble) or tuple(part.strip() for part in ensemble.split(","))
    if not all(names) or len(set(names)) < len(names):
        known = ", ".join(ENSEMBLES)
        raise InputError(
            ensemble or "--ensemble",
            "not a list of distinct variants",
            remedy=f"write it as spade4,spade2,p2phd1, or one of {known}",
        )
    return names
