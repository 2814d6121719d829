"""The rows of the paper's Table 1 and Table 2, and how a user makes a row of their own.

Paper: Gou et al., "SAR-to-optical image translation" for MultiEarth 2022 (arXiv 2207.00001).
A new idea is one more row here, or a TOML file with `base = "spade2"` and the fields that differ.
"""

import dataclasses
import math
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from kit.errors import InputError

Model = Literal["spade", "pix2pixhd"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Everything that decides a training run.

    `gan` and `l1` weigh the losses; `gan=0` trains no discriminator. `width` is the published ngf.
    The learning rate is held for `epochs` and then falls linearly to zero over `decay_epochs`; the
    hold-out is scored `validations` times on the way, with the weights and with their moving
    average (`ema`; 0 for none). A batch is taken in `accumulate` parts, for cards that cannot hold
    all of it. A gradient more than `clip` times as long as usual is shortened to that (0: never).
    `target` is the space that is learnt and scored: surface reflectance, or each channel stretched
    between its own extremes as the challenge's server does.
    """

    name: str
    model: Model
    dataset: Literal[1, 2] = 1
    gan: float
    l1: float
    width: int = 64
    depth: Literal["normal", "more", "most"] = "normal"
    norm: Literal["batch", "sync_batch", "instance"]
    discriminator_width: int = 64
    lr: float
    discriminator_lr: float
    betas: tuple[float, float]
    epochs: int = 50
    decay_epochs: int = 50
    validations: int = 10
    batch: int = 8
    accumulate: int = 1
    clip: float = 10.0
    ema: float = 0.9999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    crop: int = 256
    target: Literal["reflectance", "minmax"] = "reflectance"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no training could use.

        Raises:
            InputError: names the variant, the field and what it may be.
        """
        for field, hint in get_type_hints(Variant).items():
            value = getattr(self, field)
            if get_origin(hint) is Literal:
                if (type(value), value) not in [(type(each), each) for each in get_args(hint)]:
                    raise self._wrong(field, f"one of {', '.join(map(repr, get_args(hint)))}")
            elif hint in (int, float) and not math.isfinite(value):
                raise self._wrong(field, "a number")
            elif hint in (int, float) and value < (0 if field in _MAY_BE_ZERO else 1e-12):
                raise self._wrong(field, "zero or more" if field in _MAY_BE_ZERO else "above zero")
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise self._wrong("name", "letters, digits, _, - and dots: it names a folder")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise self._wrong("betas", "two numbers from 0 to below 1")
        if not self.gan and not self.l1:
            raise InputError(
                self.name, "gan and l1 are both 0", remedy="give one of the losses a weight"
            )
        if self.crop % 32:
            raise self._wrong("crop", "a multiple of 32")
        if self.batch % self.accumulate:
            raise self._wrong("accumulate", f"a divisor of the batch of {self.batch}")
        if self.ema >= 1:
            raise self._wrong("ema", "from 0 to below 1")

    def _wrong(self, field: str, allowed: str) -> InputError:
        return InputError(
            self.name, f"{field} is {getattr(self, field)!r}", remedy=f"it must be {allowed}"
        )


_MAY_BE_ZERO = ("gan", "l1", "decay_epochs", "seed", "clip", "ema")

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

VARIANTS = {variant.name: variant for variant in (SPADE1, SPADE2, SPADE3, P2PHD1, SPADE4)}
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


def find(name: str, settings: Sequence[str] = ()) -> Variant:
    """The variant called `name`, or described by the TOML file `name`, with `settings` applied.

    Args:
        name: a key of `VARIANTS`, or a path that ends in `.toml`.
        settings: texts such as `width=16`, each replacing one field.

    Raises:
        InputError: unknown variant, unknown field, or a value of the wrong kind.
    """
    if name.endswith(".toml"):
        variant = _from_toml(Path(name))
    elif name in VARIANTS:
        variant = VARIANTS[name]
    else:
        known = ", ".join(VARIANTS)
        raise InputError(
            name, "no such variant", remedy=f"known are {known}, or a TOML file of your own"
        )
    changes: dict[str, Any] = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise InputError(
                setting, "not a setting", remedy="write it as field=value, such as width=16"
            )
        try:
            changes |= tomllib.loads(f"{field} = {text}")
        except tomllib.TOMLDecodeError:
            changes[field] = text
    return change(variant, changes)


def change(variant: Variant, changes: Mapping[str, Any]) -> Variant:
    """A copy of `variant` with some fields replaced, checked against their types.

    Raises:
        InputError: a field that does not exist, or a value of the wrong kind.
    """
    hints = get_type_hints(Variant)
    values = dict(changes)
    for field, value in values.items():
        if field not in hints:
            fields = ", ".join(hints)
            raise InputError(
                variant.name, f"no field called {field!r}", remedy=f"the fields are {fields}"
            )
        hint = hints[field]
        if hint is float and type(value) is int:
            values[field] = float(value)
        elif field == "betas":
            if not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))):
                raise InputError(
                    variant.name, f"betas is {value!r}", remedy="write it as [0.5, 0.999]"
                )
            values[field] = (float(value[0]), float(value[1]))
        elif hint in (int, float, str) and type(value) is not hint:
            raise InputError(
                variant.name, f"{field} is {value!r}", remedy=f"it must be {hint.__name__}"
            )
    return replace(variant, **values)


def command(variant: Variant) -> str:
    """What to type to train `variant`: `kit train`, the most alike of `VARIANTS`, and settings."""

    def settings(base: Variant) -> list[str]:
        ours, theirs = to_dict(variant), to_dict(base)
        return [f"{field}={value}" for field, value in ours.items() if value != theirs[field]]

    base = min(VARIANTS.values(), key=lambda each: len(settings(each)))
    every = [part for setting in settings(base) for part in ("--set", setting)]
    return shlex.join(["kit", "train", base.name, *every])


def members(ensemble: str) -> tuple[str, ...]:
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


def to_dict(variant: Variant) -> dict[str, Any]:
    """The variant as plain JSON values; `from_dict` reads them back."""
    return dataclasses.asdict(variant) | {"betas": list(variant.betas)}


def from_dict(values: Mapping[str, Any]) -> Variant:
    """The variant that `to_dict` wrote.

    Raises:
        InputError: a field is unknown, missing or of the wrong kind.
    """
    if missing := [field for field in get_type_hints(Variant) if field not in values]:
        raise InputError(
            "variant", f"has no {', '.join(missing)}", remedy="it was written by another version"
        )
    return change(SPADE1, values)


def _from_toml(path: Path) -> Variant:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(path, f"not readable as TOML ({error})") from None
    base = values.pop("base", None)
    if not isinstance(base, str) or base not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise InputError(
            path, f"base is {base!r}", remedy=f'begin with base = "..." out of {known}'
        )
    return change(replace(VARIANTS[base], name=path.stem), values)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
