"""A folder becomes the run of a variant, or goes on as the one that it is.

In: a variant, and fingerprints of what it is trained on. Out: `config.json`. Refused by name: a run
of other settings or of other data.
"""

from collections.abc import Iterable
from dataclasses import asdict
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


def claim(
    folder: Path,
    variant: Variant,
    pairs_sha256: str,
    division: Division | None = None,
    holdout: int = 0,
    series_sha256: str | None = None,
    initial: Initial | None = None,
    units: UnitsRecord = None,
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
        old = read_config(folder)
        variant, changed = as_started(old, folder / CONFIG, variant)
        if old.get("pairs_sha256") != pairs_sha256:
            changed.append(f"other data: {other_pairs(folder, chosen)}")
        elif known_to_differ(pixels_sha256, old.get(PIXELS)):
            changed.append(OTHER_PIXELS)
        if (before_units := old.get(UNITS)) != units:
            changed.append(f"pairs of {units_text(before_units)}, not {units_text(units)}")
        if variant.radar_dates > 1 and old.get(SERIES) != series_sha256:
            changed.append("radar scenes of other dates")
        changed += _other_division(division_of(old, folder / CONFIG), division)
        changed += _other_start(before_start := initial_of(old, folder / CONFIG), initial)
        initial = before_start
        if changed:
            raise BusyError(
                f"{folder}: this run was started with {'; '.join(changed)}\n"
                "  use what it was started with, or --overwrite, or another name: --set name=..."
            )
        pixels_sha256 = old.get(PIXELS)  # of what it was started with, known or not
        # As that kit wrote it, so that the next resumption too knows what it did not.
        now = to_dict(variant)
        record = {key: now.get(key, value) for key, value in old["variant"].items()}
    config: dict[str, Any] = {"variant": record, "pairs_sha256": pairs_sha256}
    if division:
        config[DIVISION] = asdict(division)
    if series_sha256:
        config[SERIES] = series_sha256
    if initial:
        config[INIT] = asdict(initial)
    if units:
        config[UNITS] = units
    if compiled:
        config[COMPILED] = True
    if pixels_sha256:
        config[PIXELS] = pixels_sha256
    write_record(folder / CONFIG, FORMAT, config)
    return variant.with_validations(holdout)


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
