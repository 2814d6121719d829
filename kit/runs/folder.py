"""The folder of one training run: its files and its configuration.

In: a variant, or a folder. Out: `config.json`, the run's settings and data; and whether the run is
finished.
"""

import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from kit.errors import BusyError, InputError
from kit.runs.training_pairs import other_pairs
from kit.storage.files import RUNS, read_object
from kit.storage.seal import read_record, write_record
from kit.units_record import units_text
from kit.variants.record import from_record, to_record
from kit.variants.settings import Variant, to_dict
from kit.variants.train_command import train_command

FORMAT = 2
"""Of the configuration. In 1, of kits before 0.3.0, it has no checksum."""

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
STATE = "state.json"
"""The file of a checkpoint that is written last: without it there is no checkpoint."""
SAMPLES = "samples"
BEST = "weights.safetensors"
"""The weights with the lowest hold-out MAE."""
LAST = "last.safetensors"
"""The weights of the newest validation."""
TENSORBOARD = "tensorboard"
LOG = "train.log"
"""Where `kit train-all --gpus` puts what a training reports."""

OTHER_PIXELS = "other pixels in scenes of the same names"

_REMEDY = "restore it; or delete it, and train with the settings that the run was started with"

_DIVISION = "division"
_SERIES = "series_sha256"
_INIT = "init"
_UNITS = "units"
_COMPILED = "compiled"
_PIXELS = "pixels_sha256"

Units = dict[str, Any] | None
"""A record of `kit.sources.units`; None for dB and DN."""

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


def claim(
    folder: Path,
    variant: Variant,
    pairs_sha256: str,
    division: Division | None = None,
    holdout: int = 0,
    series_sha256: str | None = None,
    initial: Initial | None = None,
    units: Units = None,
    compiled: bool = False,
    pixels_sha256: str | None = None,
    chosen: Iterable[tuple[object, object]] = (),
) -> Variant:
    """Make `folder`, which the caller has locked, the run of `variant` on these pairs.

    A run may resume with another precision, clip or accumulate, and with any other setting before
    it has saved something.

    Args:
        folder: of the run.
        variant: what is to be trained.
        pairs_sha256: the fingerprint of the table of pairs.
        division: how its pairs were divided, if it is one of several folds.
        holdout: how many pairs it is validated on.
        series_sha256: the fingerprint of the radar scenes that it averages, if it does.
        initial: what it starts from; a run that has saved something goes on without.
        units: those of its pairs, see `kit.sources.units`.
        compiled: whether its generator is compiled from now on.
        pixels_sha256: the fingerprint of the pairs' pixels, if it is known.
        chosen: the radar and the optical scene of each pair to train on, to say which are others.

    Returns:
        The variant to train, with its number of validations. A run that an earlier kit started goes
        on with what the settings that it did not know were then.

    Raises:
        BusyError: it is the run of another configuration or of other data.
        InputError: its configuration cannot be read.
    """
    foreign = saved(folder) and not any(folder.glob(f"{CHECKPOINTS}/step-*"))
    if foreign and not (folder / CONFIG).exists():
        raise BusyError(
            f"{folder}: holds weights that no training wrote, such as imported ones\n"
            "  give --overwrite, or another name: --set name=..."
        )
    record = to_record(variant.with_validations(holdout))
    if (folder / CONFIG).exists() and saved(folder):
        old = _read_config(folder)
        variant, changed = _as_started(old, folder / CONFIG, variant)
        if old.get("pairs_sha256") != pairs_sha256:
            changed.append(f"other data: {other_pairs(folder, chosen)}")
        elif _other_pixels(old, pixels_sha256):
            changed.append(OTHER_PIXELS)
        if (before_units := old.get(_UNITS)) != units:
            changed.append(f"pairs of {units_text(before_units)}, not {units_text(units)}")
        if variant.radar_dates > 1 and old.get(_SERIES) != series_sha256:
            changed.append("radar scenes of other dates")
        changed += _other_division(_division(old, folder / CONFIG), division)
        changed += _other_start(before_start := _initial(old, folder / CONFIG), initial)
        initial = before_start
        if changed:
            raise BusyError(
                f"{folder}: this run was started with {'; '.join(changed)}\n"
                "  use what it was started with, or --overwrite, or another name: --set name=..."
            )
        # As that kit wrote it, so that the next resumption too knows what it did not.
        now = to_dict(variant)
        record = {key: now.get(key, value) for key, value in old["variant"].items()}
    config: dict[str, Any] = {"variant": record, "pairs_sha256": pairs_sha256}
    if division:
        config[_DIVISION] = asdict(division)
    if series_sha256:
        config[_SERIES] = series_sha256
    if initial:
        config[_INIT] = asdict(initial)
    if units:
        config[_UNITS] = units
    if compiled:
        config[_COMPILED] = True
    if pixels_sha256:
        config[_PIXELS] = pixels_sha256
    write_record(folder / CONFIG, FORMAT, config)
    return variant.with_validations(holdout)


def other_settings(folder: Path, variant: Variant) -> list[str]:
    """In which settings the run in `folder` is no run of `variant`, in words.

    Those do not count that may change when it resumes, or that it did not know.

    Raises:
        InputError: the configuration is not readable.
    """
    return _as_started(_read_config(folder), folder / CONFIG, variant)[1]


def read_division(folder: Path) -> Division | None:
    """How the pairs of the run in `folder` were divided; None if it is not one of several folds.

    Raises:
        InputError: the configuration is not readable.
    """
    return _division(_read_config(folder), folder / CONFIG)


def read_initial(folder: Path) -> Initial | None:
    """The weights that the run in `folder` was started from; None if it was from fresh ones.

    Raises:
        InputError: the configuration is not readable.
    """
    return _initial(_read_config(folder), folder / CONFIG)


def read_compiled(folder: Path) -> bool:
    """Whether the generator of the run in `folder` was compiled when it last began or went on.

    Raises:
        InputError: the configuration is not readable.
    """
    return (folder / CONFIG).exists() and _read_config(folder).get(_COMPILED) is True


def saved(folder: Path) -> bool:
    """Whether a run has a checkpoint or weights."""
    states = folder.glob(f"{CHECKPOINTS}/step-*/{STATE}")
    return any(chain(states, folder.glob("*.safetensors")))


def read_variant(folder: Path) -> Variant:
    """The variant of the run in `folder`.

    Raises:
        InputError: there is no configuration, or it cannot be read.
    """
    return from_record(_read_config(folder)["variant"], folder / CONFIG, _REMEDY)


def read_pairs_sha256(folder: Path) -> str | None:
    """The fingerprint of the pairs that the run was trained on; None if the folder lacks it.

    Raises:
        InputError: the configuration is not readable.
    """
    if not (folder / CONFIG).exists():
        return None
    found = _read_config(folder).get("pairs_sha256")
    return found if isinstance(found, str) else None


def has_other_pixels(folder: Path, pixels_sha256: str | None) -> bool:
    """Whether a run was trained on pairs whose pixels are known to differ from those of now.

    Raises:
        InputError: the configuration is not readable.
    """
    return _other_pixels(_read_config(folder), pixels_sha256)


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
    if state.get("epoch") == variant.total_epochs:
        return True
    counts = [state.get(name) for name in ("epoch", "step", "best_step")]
    epoch, step, best = (count if type(count) is int else 0 for count in counts)
    # Between two epochs alone is it decided whether another follows.
    if state.get("batch") != 0 or 0 in (epoch, step, best):
        return False
    return variant.is_over(epoch, best * epoch // step)


def _as_started(config: dict[str, Any], path: Path, variant: Variant) -> tuple[Variant, list[str]]:
    """`variant` with what a run was started with where either leaves that open; what differs."""
    before = to_dict(from_record(config["variant"], path, _REMEDY))
    unknown_then = before.keys() - config["variant"].keys()
    if not variant.validations:  # what it was started with is as good
        variant = replace(variant, validations=before["validations"])
    variant = replace(variant, **{field: before[field] for field in unknown_then})
    changed = [
        f"{key}={before[key]}, not {value}"
        for key, value in to_dict(variant).items()
        if key not in _FREE and before[key] != value
    ]
    return variant, changed


def _other_pixels(config: dict[str, Any], now: str | None) -> bool:
    return now is not None and config.get(_PIXELS, now) != now


def _division(config: dict[str, Any], path: Path) -> Division | None:
    if _DIVISION not in config:
        return None
    try:
        return Division(**config[_DIVISION])
    except TypeError as error:
        problem = f"does not say how pairs were divided ({error})"
        raise InputError(path, problem, remedy=_REMEDY) from None


def _initial(config: dict[str, Any], path: Path) -> Initial | None:
    if _INIT not in config:
        return None
    try:
        return Initial(**config[_INIT])
    except TypeError as error:
        problem = f"does not say what the run was started from ({error})"
        raise InputError(path, problem, remedy=_REMEDY) from None


def _other_start(before: Initial | None, now: Initial | None) -> list[str]:
    """What differs between two starts, in words; a run that goes on needs none."""
    if now is None or (before and before.sha256 == now.sha256):
        return []
    return [f"other weights than {now.file} has now" if before else "weights of its own"]


def _other_division(before: Division | None, now: Division | None) -> list[str]:
    """What differs between two divisions, in words."""
    if before is None or now is None:
        return []  # that one has folds and the other has none is seen in the variants
    if before.groups_sha256 == now.groups_sha256:
        return [] if before.sha256 == now.sha256 else ["another division into folds"]
    if now.groups is None:
        return [f"the groups of {before.groups}"]
    return [f"other groups than those of {now.groups}" if before.groups else "no groups"]


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_record(folder / CONFIG, FORMAT, _REMEDY)
    if not isinstance(config.get("variant"), dict):
        raise InputError(folder / CONFIG, "not written by kit train", remedy=_REMEDY)
    return config
