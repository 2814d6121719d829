"""`summary.json`: the paper's numbers for one folder of tiles, and the settings that gave them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.pairs.table import Pair, fingerprint
from kit.screening.screen import Screening
from kit.seal import read_record, write_record
from kit.tiles.rejection import Rejection, tally

SUMMARY = "summary.json"
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """How many scenes and pairs there are, and how many were dropped, by reason.

    `train1` and `train2` are the pairs of Dataset-1 and Dataset-2 that training may see; `sizes`
    counts the pairs by height and width, such as "256x256"; `clipped` is that of
    `kit.screening.screen.Screening`.
    """

    scenes_s1: int
    scenes_s2: int
    pairs: int
    dataset1: int
    dataset2: int
    holdout: int
    train1: int
    train2: int
    sizes: dict[str, int]
    clipped: dict[str, float]
    dropped: dict[str, int]


def summarise(
    screening: Screening, pairs: Sequence[Pair], rejected: Sequence[Rejection]
) -> Summary:
    """The numbers of pairs that are split already, and of all that was rejected before."""
    return Summary(
        scenes_s1=screening.scenes_s1,
        scenes_s2=screening.scenes_s2,
        pairs=len(pairs),
        dataset1=sum(pair.dataset1 for pair in pairs),
        dataset2=sum(pair.dataset2 for pair in pairs),
        holdout=sum(pair.split == "holdout" for pair in pairs),
        train1=sum(pair.dataset1 and pair.split == "train" for pair in pairs),
        train2=sum(pair.dataset2 and pair.split == "train" for pair in pairs),
        sizes=dict(Counter(f"{pair.height}x{pair.width}" for pair in pairs)),
        clipped=screening.clipped,
        dropped=tally(rejected) | outside_dataset2(pairs) | _buffer(pairs),
    )


def write_summary(
    path: Path, summary: Summary, pairs: Sequence[Pair], data: Path, settings: Mapping[str, Any]
) -> None:
    """Write a summary, sealed, with the fingerprint of its pairs, its tiles' folder and settings.

    Raises:
        OutputError: it cannot be written.
    """
    made_from = {"data": str(data), "settings": dict(settings), "pairs_sha256": fingerprint(pairs)}
    write_record(path, _FORMAT, asdict(summary) | made_from)


def read_summary(path: Path) -> dict[str, Any]:
    """The fields of a summary; `pairs_sha256` is missing where an earlier kit wrote it.

    Raises:
        InputError: it is missing or damaged.
    """
    return read_record(path, _FORMAT, "run kit prepare DATA again")


def outside_dataset2(pairs: Sequence[Pair]) -> dict[str, int]:
    """Why pairs are outside Dataset-2, each counted once, at the first test that it fails."""
    counts = {
        "optical nodata": sum(pair.nodata > 0 for pair in pairs),
        "QA60 cloud": sum(pair.nodata == 0 and pair.qa60 > 0 for pair in pairs),
        "heuristic cloud": sum(pair.dataset1 and not pair.dataset2 for pair in pairs),
    }
    return {kind: n for kind, n in counts.items() if n}


def _buffer(pairs: Sequence[Pair]) -> dict[str, int]:
    n = sum(pair.dataset1 and pair.split == "buffer" for pair in pairs)
    return {"overlaps the hold-out": n} if n else {}
