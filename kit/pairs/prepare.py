"""A folder of tiles -> everything that training needs to know about it.

In: official tiles. Out, in the work folder: what `kit.screening.screen` writes, `pairs.parquet`
(every pair, its data sets, its split), `rejected.csv` (all that was left out, each with
its reason) and `summary.json` (the paper's numbers for this data).
"""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from kit.errors import InputError
from kit.files import WORK, AnyPath
from kit.lock import lock
from kit.pairs.pairing import pair, split
from kit.pairs.summary import SUMMARY, Summary, outside_dataset2, summarise, write_summary
from kit.pairs.table import PAIRS, write_pairs
from kit.progress import Advance
from kit.screening.rule import CloudRule
from kit.screening.screen import screen_locked
from kit.screening.table import SCENES, read_screened
from kit.tiles.rejection import REJECTED, tally, tally_text, write_rejected

_RULE = CloudRule()


def prepare(
    data: AnyPath,
    work: AnyPath = WORK,
    *,
    rule: CloudRule = _RULE,
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
    data, work = Path(data), Path(work)
    with lock(work):
        screening = screen_locked(data, work, rule, max_cloud, None, advance)
        screened = tuple(read_screened(work / SCENES))
        pairs, lonely = pair(screened, window_days=window_days, max_cloud=max_cloud)
        rejected = (*screening.rejected, *lonely)
        # Whatever fails from here on, tables of other data must not be mistaken for this data's.
        for name in (PAIRS, SUMMARY):
            (work / name).unlink(missing_ok=True)
        write_rejected(work / REJECTED, rejected)
        if not pairs:
            reasons = tally_text(tally(rejected))
            raise InputError(
                data,
                f"no pair within {window_days} days ({reasons})",
                remedy=f"see {work / REJECTED}; try a wider --window-days",
            )
        pairs = split(pairs, holdout=holdout, by=split_by, seed=seed)
        write_pairs(work / PAIRS, pairs)
        summary = summarise(screening, pairs, rejected)
        settings = asdict(rule) | {
            "max_cloud": max_cloud,
            "window_days": window_days,
            "split": split_by,
            "seed": seed,
        }
        write_summary(work / SUMMARY, summary, pairs, data, settings)
    if not summary.dataset2:
        removed = tally_text(outside_dataset2(pairs))
        raise InputError(
            data,
            f"Dataset-2 is empty: {len(pairs)} pairs, less {removed}",
            remedy=f"the heuristic fires above {rule.threshold} at scale {rule.scale}: raise "
            "--threshold or --max-cloud; Dataset-1 is ready as it is",
        )
    return summary
