"""A folder becomes the run of a variant, or goes on as the one that it is.

In: a variant, and fingerprints of what it is trained on. Out: `config.json`. Refused by name: a run
of other settings or of other data.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kit.errors import BusyError
from kit.runs.folder import (
    CHECKPOINTS,
    COMPILED,
    CONFIG,
    DIVISION,
    FORMAT,
    INIT,
    OTHER_PIXELS,
    PIXELS,
    SERIES,
    UNITS,
    Division,
    Initial,
    as_started,
    division_of,
    initial_of,
    read_config,
    saved,
)
from kit.runs.training_pairs import other_pairs
from kit.storage.files import known_to_differ
from kit.storage.seal import write_record
from kit.units_record import UnitsRecord, units_text
from kit.variants.record import to_record
from kit.variants.settings import Variant, to_dict


@dataclass(frozen=True, slots=True)
class Basis:
    """What a run is trained on, and what it starts from."""

    pairs_sha256: str
    """The fingerprint of the table of pairs."""
    chosen: Sequence[tuple[object, object]] = ()
    """The radar and the optical scene of each pair to train on, to say which are others."""
    holdout: int = 0
    """How many pairs it is validated on."""
    division: Division | None = None
    """How its pairs were divided, if it is one of several folds."""
    series_sha256: str | None = None
    """The fingerprint of the radar scenes that it averages, if it does."""
    initial: Initial | None = None
    """What it starts from; a run that has saved something goes on without."""
    units: UnitsRecord = None
    """Those of its pairs."""
    pixels_sha256: str | None = None
    """The fingerprint of the pairs' pixels, if it is known."""


def claim(folder: Path, variant: Variant, basis: Basis, *, compiled: bool = False) -> Variant:
    """Make `folder`, which the caller has locked, the run of `variant` on these pairs.

    A run may resume with another precision, clip or accumulate, and with any other setting before
    it has saved something.

    Args:
        folder: of the run.
        variant: what is to be trained.
        basis: what it is trained on.
        compiled: whether its generator is compiled from now on.

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
    record = to_record(variant.with_validations(basis.holdout))
    if (folder / CONFIG).exists() and saved(folder):
        old = read_config(folder)
        variant, changed = as_started(old, folder / CONFIG, variant)
        changed += _other_basis(folder, old, variant, basis)
        if changed:
            raise BusyError(
                f"{folder}: this run was started with {'; '.join(changed)}\n"
                "  use what it was started with, or --overwrite, or another name: --set name=..."
            )
        # Those of what it was started with, known or not.
        initial, pixels = initial_of(old, folder / CONFIG), old.get(PIXELS)
        basis = replace(basis, initial=initial, pixels_sha256=pixels)
        # As that kit wrote it, so that the next resumption too knows what it did not.
        now = to_dict(variant)
        record = {key: now.get(key, value) for key, value in old["variant"].items()}
    write_record(folder / CONFIG, FORMAT, _configuration(record, basis, compiled))
    return variant.with_validations(basis.holdout)


def _configuration(variant: dict[str, Any], basis: Basis, compiled: bool) -> dict[str, Any]:
    """What `config.json` holds; what there is none of is left out."""
    config: dict[str, Any] = {"variant": variant, "pairs_sha256": basis.pairs_sha256}
    if basis.division:
        config[DIVISION] = asdict(basis.division)
    if basis.series_sha256:
        config[SERIES] = basis.series_sha256
    if basis.initial:
        config[INIT] = asdict(basis.initial)
    if basis.units:
        config[UNITS] = basis.units
    if compiled:
        config[COMPILED] = True
    if basis.pixels_sha256:
        config[PIXELS] = basis.pixels_sha256
    return config


def _other_basis(folder: Path, old: dict[str, Any], variant: Variant, now: Basis) -> list[str]:
    """What differs between that of a run's configuration and that of now, in words."""
    changed = []
    if old.get("pairs_sha256") != now.pairs_sha256:
        changed.append(f"other data: {other_pairs(folder, now.chosen)}")
    elif known_to_differ(now.pixels_sha256, old.get(PIXELS)):
        changed.append(OTHER_PIXELS)
    if (units := old.get(UNITS)) != now.units:
        changed.append(f"pairs of {units_text(units)}, not {units_text(now.units)}")
    if variant.radar_dates > 1 and old.get(SERIES) != now.series_sha256:
        changed.append("radar scenes of other dates")
    changed += _other_division(division_of(old, folder / CONFIG), now.division)
    changed += _other_start(initial_of(old, folder / CONFIG), now.initial)
    return changed


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
