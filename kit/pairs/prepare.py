"""A folder of tiles -> everything that training needs to know about it.

In: official tiles. Out, in the work folder: what `kit.screening.screen` writes, `pairs.parquet`
(every pair, its data sets, its part of the split), `rejected.csv` (all that was left out, each with
its reason) and `summary.json` (the paper's numbers for this data).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kit.errors import InputError
from kit.files import lock, write_json
from kit.pairs.pairing import pair, split
from kit.pairs.table import Pair, write_pairs
from kit.progress import Advance
from kit.screening.rule import CloudRule
from kit.screening.screen import REJECTED, screen_locked, write_rejected
from kit.screening.table import TABLE, read_scenes
from kit.tiles.catalog import listed, tally


@dataclass(frozen=True, slots=True)
class Summary:
    """The paper's numbers for one folder of tiles, and what was dropped on the way, by reason."""

    scenes_s1: int
    scenes_s2: int
    pairs: int
    dataset1: int
    dataset2: int
    holdout: int
    train1: int
    train2: int
    dropped: dict[str, int]


def prepare(
    data: Path,
    work: Path,
    *,
    rule: CloudRule,
    max_cloud: float = 0.0,
    window_days: int = 7,
    holdout: int = 1000,
    split_by: Literal["blocks", "random"] = "blocks",
    seed: int = 0,
    advance: Advance | None = None,
) -> Summary:
    """Index and screen the tiles, make pairs, set the hold-out aside, and write the tables.

    Raises:
        InputError: no tiles, no readable scene, no pair within the window, or an empty Dataset-2;
            in the last case the tables are written all the same, since Dataset-1 may be of use.
        BusyError: another process prepares into the same folder.
    """
    with lock(work):
        screening = screen_locked(data, work, rule, max_cloud, None, advance)
        screened = tuple(read_scenes(work / TABLE))
        pairs, lonely = pair(screened, window_days=window_days, max_cloud=max_cloud)
        rejected = (*screening.rejected, *lonely)
        # Whatever fails from here on, the tables of other data must not pass for those of these.
        for name in ("pairs.parquet", "summary.json"):
            (work / name).unlink(missing_ok=True)
        write_rejected(work / REJECTED, rejected)
        if not pairs:
            reasons = listed(tally(rejected))
            raise InputError(
                data,
                f"no pair within {window_days} days ({reasons})",
                remedy=f"see {work / REJECTED}; try a wider --window-days",
            )
        pairs = split(pairs, holdout=holdout, by=split_by, seed=seed)
        write_pairs(work / "pairs.parquet", pairs)
        summary = Summary(
            scenes_s1=screening.scenes_s1,
            scenes_s2=screening.scenes_s2,
            pairs=len(pairs),
            dataset1=sum(pair.dataset1 for pair in pairs),
            dataset2=sum(pair.dataset2 for pair in pairs),
            holdout=sum(pair.split == "holdout" for pair in pairs),
            train1=sum(pair.dataset1 and pair.split == "train" for pair in pairs),
            train2=sum(pair.dataset2 and pair.split == "train" for pair in pairs),
            dropped=tally(rejected) | _losses(pairs) | _buffer(pairs),
        )
        settings = asdict(rule) | {
            "max_cloud": max_cloud,
            "window_days": window_days,
            "split": split_by,
            "seed": seed,
        }
        facts = asdict(summary) | {"data": str(data), "settings": settings}
        write_json(work / "summary.json", facts)
    if not summary.dataset2:
        removed = listed(_losses(pairs))
        raise InputError(
            data,
            f"Dataset-2 is empty: {len(pairs)} pairs, less {removed}",
            remedy=f"the heuristic fires above {rule.threshold} at scale {rule.scale}: raise "
            "--threshold or --max-cloud; Dataset-1 is ready as it is",
        )
    return summary


def _losses(pairs: tuple[Pair, ...]) -> dict[str, int]:
    """Why pairs are outside Dataset-2, each counted once, at the first test that it fails."""
    counts = {
        "optical nodata": sum(pair.nodata > 0 for pair in pairs),
        "QA60 cloud": sum(pair.nodata == 0 and pair.qa60 > 0 for pair in pairs),
        "heuristic cloud": sum(pair.dataset1 and not pair.dataset2 for pair in pairs),
    }
    return {kind: n for kind, n in counts.items() if n}


def _buffer(pairs: tuple[Pair, ...]) -> dict[str, int]:
    n = sum(pair.dataset1 and pair.split == "buffer" for pair in pairs)
    return {"overlaps the hold-out": n} if n else {}
