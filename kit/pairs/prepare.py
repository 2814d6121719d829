"""A folder of tiles -> everything that training needs to know about it.

In: official tiles. Out, in the work folder: what `kit.screening.screen` writes, `pairs.parquet`
(every pair, its data sets, its split), `rejected.csv` (all that was left out, each with
its reason) and `summary.json` (the paper's numbers for this data).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kit.files import WORK, AnyPath, together
from kit.lock import lock
from kit.pairs.colors import with_colors
from kit.pairs.hints import no_pairs, warnings
from kit.pairs.holdout import By, split
from kit.pairs.kinds import SEEN_PLACES, kinds
from kit.pairs.pairing import pair
from kit.pairs.summary import SUMMARY, Summary, write_summary
from kit.pairs.table import PAIRS, Pair, holdout_pairs, train_pairs, write_pairs
from kit.progress import Advance, Report
from kit.screening.rule import CloudRule
from kit.screening.screen import Screening, measure_all
from kit.screening.table import SCENES, read_screened
from kit.tiles.rejection import FAILED, REJECTED, Rejection, tally, write_rejected
from kit.tiles.units import Units

_RULE = CloudRule()


def prepare(
    data: AnyPath,
    work: AnyPath = WORK,
    *,
    rule: CloudRule = _RULE,
    max_cloud: float = 0.0,
    window_days: int = 7,
    holdout: int = 1000,
    split_by: By = "blocks",
    seed: int = 0,
    units: Units = "check",
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> Summary:
    """Index and screen the tiles, make pairs, set the hold-out aside, and write the tables.

    All tables are replaced, or none. `report` takes a line about a data set or a hold-out that is
    empty, and about units that are doubtful; `units` says what becomes of those.

    Raises:
        InputError: no tiles, no readable scene or no pair within the window, where `failed.csv`
            lists what was left out; a hold-out that leaves none to train on; or values that are
            not dB and DN.
        BusyError: another process prepares into the same folder.
        OutputError: a table cannot be written.
    """
    data, work = Path(data), Path(work)
    settings = asdict(rule) | {
        "max_cloud": max_cloud,
        "window_days": window_days,
        "split": split_by,
        "seed": seed,
    }
    with lock(work):
        found = measure_all(data, work, rule, None, advance)
        with together(work) as new:
            screening = found.write(new, max_cloud, units)
            screened = tuple(read_screened(new(SCENES)))
            pairs, lonely = pair(screened, window_days=window_days, max_cloud=max_cloud)
            rejected = (*found.rejected, *lonely)
            if not pairs:
                write_rejected(work / FAILED, rejected)
                raise no_pairs(found, screened, rejected, window_days, work / FAILED)
            pairs = split(with_colors(pairs), holdout=holdout, by=split_by, seed=seed)
            summary = _summarise(screening, pairs, rejected)
            write_rejected(new(REJECTED), rejected)
            write_pairs(new(PAIRS), pairs)
            write_summary(new(SUMMARY), summary, pairs, data, settings)
        found.finish()
    for line in screening.doubts:
        report(line)
    for line in warnings(pairs, _outside_dataset2(pairs), rule, holdout):
        report(line)
    return summary


def _summarise(
    screening: Screening, pairs: Sequence[Pair], rejected: Sequence[Rejection]
) -> Summary:
    """The numbers of pairs that are split already, and of all that was rejected before."""
    found = kinds(holdout_pairs(pairs), train_pairs(pairs, 1))
    return Summary(
        scenes_s1=screening.scenes_s1,
        scenes_s2=screening.scenes_s2,
        pairs=len(pairs),
        dataset1=sum(pair.dataset1 for pair in pairs),
        dataset2=sum(pair.dataset2 for pair in pairs),
        holdout=sum(pair.split == "holdout" for pair in pairs),
        holdout_seen=len(found.get(SEEN_PLACES, ())),
        train1=sum(pair.dataset1 and pair.split == "train" for pair in pairs),
        train2=sum(pair.dataset2 and pair.split == "train" for pair in pairs),
        sizes=dict(Counter(f"{pair.height}x{pair.width}" for pair in pairs)),
        clipped=screening.clipped,
        dropped=tally(rejected) | _outside_dataset2(pairs) | _buffer(pairs),
    )


def _outside_dataset2(pairs: Sequence[Pair]) -> dict[str, int]:
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
