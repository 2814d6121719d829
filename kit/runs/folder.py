"""The folder of one training run: its files and its configuration.

In: a folder. Out: what `config.json` holds of the run's settings and data; and whether the run is
finished. Refused by name: the configuration of another run.
"""

import shlex
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.storage.files import RUNS, known_to_differ, name_of, read_object
from kit.storage.seal import read_record
from kit.variants.record import from_record
from kit.variants.settings import Variant, setting_text, to_dict, value_text
from kit.variants.train_command import train_command

FORMAT = 2
"""Of the configuration. In 1, of kits before 0.3.0, it has no checksum."""

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
STATE = "state.json"
"""The file of a checkpoint that is written last: without it there is no checkpoint."""
SAMPLES = "samples"
BEST = "weights.safetensors"
"""The weights that erred least on the hold-out."""
LAST = "last.safetensors"
"""The weights of the newest validation."""
TENSORBOARD = "tensorboard"
LOG = "train.log"
"""Where `kit train-all --gpus` puts what a training reports."""

OTHER_PIXELS = "other pixels in scenes of the same names"

_REMEDY = "restore it; or delete it, and train with the settings that the run was started with"

# Keys of the configuration.
DIVISION = "division"
SERIES = "series_sha256"
INIT = "init"
UNITS = "units"
COMPILED = "compiled"
PIXELS = "pixels_sha256"

# Settings that are decided when a run starts, unless they were given.
_DECIDED = ("validations", "ends_after")

# Settings of how a run is computed, not of what: they may change when it resumes.
_FREE = ("accumulate", "precision", "clip")


@dataclass(frozen=True, slots=True)
class Division:
    """How the pairs of a run of one fold were divided into folds.

    `sha256` is that of the assignment of pairs to folds, the same for all runs of one division;
    `groups` the table that said what belongs together, and `groups_sha256` that of what it says.
    """

    sha256: str
    groups: str | None = None
    groups_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Initial:
    """The weights file that a run was started from, and its SHA-256."""

    file: str
    sha256: str


def other_settings(folder: Path, variant: Variant) -> list[str]:
    """In which settings the run in `folder` is no run of `variant`, in words.

    Those do not count that may change when it resumes, or that it did not know.

    Raises:
        InputError: the configuration is not readable.
    """
    return as_started(read_config(folder), folder / CONFIG, variant)[1]


def read_division(folder: Path) -> Division | None:
    """How the pairs of the run in `folder` were divided; None if it is not one of several folds.

    Raises:
        InputError: the configuration is not readable.
    """
    return division_of(read_config(folder), folder / CONFIG)


def read_initial(folder: Path) -> Initial | None:
    """The weights that the run in `folder` was started from; None if it was from fresh ones.

    Raises:
        InputError: the configuration is not readable.
    """
    return initial_of(read_config(folder), folder / CONFIG)


def read_compiled(folder: Path) -> bool:
    """Whether the generator of the run in `folder` was compiled when it last began or went on.

    Raises:
        InputError: the configuration is not readable.
    """
    return (folder / CONFIG).exists() and read_config(folder).get(COMPILED) is True


def saved(folder: Path) -> bool:
    """Whether a run has a checkpoint or weights."""
    states = folder.glob(f"{CHECKPOINTS}/step-*/{STATE}")
    return any(chain(states, folder.glob("*.safetensors")))


def read_variant(folder: Path) -> Variant:
    """The variant of the run in `folder`.

    Raises:
        InputError: there is no configuration, or it cannot be read.
    """
    return from_record(read_config(folder)["variant"], folder / CONFIG, _REMEDY)


def read_pairs_sha256(folder: Path) -> str | None:
    """The fingerprint of the pairs that the run was trained on; None if the folder lacks it.

    Raises:
        InputError: the configuration is not readable.
    """
    if not (folder / CONFIG).exists():
        return None
    found = read_config(folder).get("pairs_sha256")
    return found if isinstance(found, str) else None


def has_other_pixels(folder: Path, pixels_sha256: str | None) -> bool:
    """Whether a run was trained on pairs whose pixels are known to differ from those of now.

    Raises:
        InputError: the configuration is not readable.
    """
    return known_to_differ(pixels_sha256, read_config(folder).get(PIXELS))


def resume_command(folder: Path) -> str:
    """The command that goes on with the run in `folder`.

    Raises:
        InputError: there is no configuration, or it cannot be read.
    """
    command = train_command(read_variant(folder))
    division = read_division(folder)
    if division and division.groups:
        command += f" --groups {shlex.quote(division.groups)}"
    if not saved(folder) and (start := read_initial(folder)):
        command += f" --init {shlex.quote(start.file)}"
    if folder.parent != RUNS:
        command += f" --runs {shlex.quote(str(folder.parent))}"
    return command


def trained_runs(runs: Path) -> list[str]:
    """The names of the runs that have weights, sorted."""
    return sorted(path.parent.name for path in runs.glob(f"*/{BEST}"))


def finished(folder: Path, variant: Variant) -> bool:
    """Whether the newest checkpoint in `folder` is of the end of a training of `variant`.

    What is fitted in one go has no checkpoint, and weights when it is finished.
    """
    if variant.is_fitted:
        return (folder / BEST).exists()
    states = sorted((folder / CHECKPOINTS).glob(f"step-*/{STATE}"))
    if not states:
        return False
    state = read_object(states[-1], _REMEDY)
    if state.get("epoch") == variant.trained_epochs:
        return True
    counts = [state.get(name) for name in ("epoch", "step", "best_step")]
    epoch, step, best = (count if type(count) is int else 0 for count in counts)
    # Between two epochs alone is it decided whether another follows.
    if state.get("batch") != 0 or 0 in (epoch, step, best):
        return False
    return variant.is_over(epoch, best * epoch // step)


def as_started(config: dict[str, Any], path: Path, variant: Variant) -> tuple[Variant, list[str]]:
    """`variant` with what a run was started with where either leaves that open; what differs.

    Args:
        config: of the run, as `read_config` gives it.
        path: where it was read, for the error.
        variant: what is to be trained now.

    Raises:
        InputError: the configuration holds no variant.
    """
    before = to_dict(from_record(config["variant"], path, _REMEDY))
    unknown_then = before.keys() - config["variant"].keys()
    decided = {name for name in _DECIDED if not getattr(variant, name)}
    variant = replace(variant, **{field: before[field] for field in unknown_then | decided})
    changed = [
        f"{setting_text(key, before[key])}, not {value_text(value)}"
        for key, value in to_dict(variant).items()
        if key not in _FREE and before[key] != value
    ]
    return variant, changed


def division_of(config: dict[str, Any], path: Path) -> Division | None:
    """How the configuration that was read from `path` says that pairs were divided.

    Raises:
        InputError: it does not say how.
    """
    if DIVISION not in config:
        return None
    try:
        return Division(**config[DIVISION])
    except TypeError as error:
        problem = f"does not say how pairs were divided ({error})"
        raise InputError(path, problem, remedy=_REMEDY) from None


def initial_of(config: dict[str, Any], path: Path) -> Initial | None:
    """The weights that the configuration read from `path` says that the run was started from.

    Raises:
        InputError: it does not say which.
    """
    if INIT not in config:
        return None
    try:
        return Initial(**config[INIT])
    except TypeError as error:
        problem = f"does not say what the run was started from ({error})"
        raise InputError(path, problem, remedy=_REMEDY) from None


def read_config(folder: Path) -> dict[str, Any]:
    """What the configuration of the run in `folder` holds.

    Raises:
        InputError: there is none, or it is damaged, of a newer format, or of another run.
    """
    config = read_record(folder / CONFIG, FORMAT, _REMEDY)
    if not isinstance(config.get("variant"), dict):
        raise InputError(folder / CONFIG, "not written by kit train", remedy=_REMEDY)
    if (name := config["variant"].get("name")) != name_of(folder):
        remedy = f"give each run its own again; this one belongs in {folder.parent / str(name)}"
        raise InputError(folder / CONFIG, f"is of the run {name}", remedy=remedy)
    return config
