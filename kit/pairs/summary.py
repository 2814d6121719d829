"""`summary.json`: the paper's numbers for one folder of tiles, and the settings that gave them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.pairs.table import PAIRS, Pair, fingerprint, read_pair_units
from kit.storage.seal import read_record, write_record
from kit.units_record import UnitsRecord, is_units_record

SUMMARY = "summary.json"
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """How many scenes and pairs there are, and how many were dropped, by reason.

    `holdout_seen` are the pairs of the hold-out at places that training sees at other dates.
    `train1` and `train2` are the pairs of Dataset-1 and Dataset-2 that training may see; `sizes`
    counts the pairs by height and width, such as "256x256"; `clipped` is that of
    `kit.screening.screen.Screening`. `distribution` is that of `kit.pairs.distribution`.
    """

    scenes_s1: int
    scenes_s2: int
    pairs: int
    dataset1: int
    dataset2: int
    holdout: int
    holdout_seen: int
    train1: int
    train2: int
    sizes: dict[str, int]
    clipped: dict[str, float]
    dropped: dict[str, int]
    distribution: dict[str, tuple[float, ...]] = field(default_factory=dict)


def write_summary(
    path: Path, summary: Summary, pairs: Sequence[Pair], data: Path, settings: Mapping[str, Any]
) -> None:
    """Write a summary, sealed, with the fingerprint of its pairs, its tiles' folder and settings.

    Raises:
        OutputError: it cannot be written.
    """
    made_from = {"data": str(data), "settings": dict(settings), "pairs_sha256": fingerprint(pairs)}
    write_record(path, _FORMAT, asdict(summary) | made_from)


def read_units(work: Path) -> UnitsRecord:
    """The units of the pairs in a work folder, as `kit.sources.units` records them.

    None where they are dB and DN, and where neither the table nor a summary of an earlier kit says
    anything.

    Raises:
        InputError: the table is damaged; or the summary is, where that has them.
    """
    if (work / PAIRS).exists():
        with suppress(KeyError):
            return read_pair_units(work / PAIRS)
    if not (work / SUMMARY).exists():
        return None
    found: UnitsRecord = read_summary(work / SUMMARY).get("settings", {}).get("units")
    return found


def read_summary(path: Path) -> dict[str, Any]:
    """The fields of a summary; `pairs_sha256` is missing where an earlier kit wrote it.

    Raises:
        InputError: it is missing or damaged.
    """
    remedy = "run kit prepare DATA again"
    found = read_record(path, _FORMAT, remedy)
    for name in ("settings", "clipped"):
        if not isinstance(found.get(name, {}), dict):
            problem = f"damaged: its {name} are no JSON object"
            raise InputError(path, problem, remedy=remedy)
    if not is_units_record(found.get("settings", {}).get("units")):
        raise InputError(path, "damaged: its units are none", remedy=remedy)
    return found
