"""A folder of tiles -> everything that training needs to know about it.

In: official tiles. Out, in the work folder: what `kit.screening.screen` writes, `pairs.parquet`
(every pair, its data sets, its split), `rejected.csv` (all that was left out, each with
its reason) and `summary.json` (the paper's numbers for this data).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from kit.doubt import Units
from kit.pairs.colors import with_colors
from kit.pairs.distribution import distribution
from kit.pairs.hints import no_pairs, warnings
from kit.pairs.holdout import By, hold_out, split
from kit.pairs.kinds import SEEN_PLACES, kinds
from kit.pairs.pairing import pair
from kit.pairs.summary import SUMMARY, Summary, write_summary
from kit.pairs.table import PAIRS, Pair, holdout_pairs, train_pairs, write_pairs
from kit.progress import Advance, Report
from kit.screening import ukis
from kit.screening.detector import Detector
from kit.screening.rule import CloudRule
from kit.screening.screen import Screening, measure_all
from kit.screening.table import SCENES, read_screened
from kit.sources.convert import Converted, Wanted
from kit.sources.find import find_tiles
from kit.sources.origin import read_tile_units
from kit.sources.units import require_reflectance
from kit.storage.files import WORK, AnyPath, together
from kit.storage.lock import lock
from kit.tiles.names import SceneKey
from kit.tiles.rejection import FAILED, REJECTED, Rejection, tally, write_rejected

_RULE = CloudRule()
_NOTHING = Wanted()


def prepare(
    data: AnyPath,
    work: AnyPath = WORK,
    *,
    rule: CloudRule = _RULE,
    source: str | None = None,
    wanted: Wanted = _NOTHING,
    max_cloud: float | None = None,
    detector: Detector | None = None,
    window_days: int = 7,
    holdout: int = 1000,
    split_by: By | None = None,
    seed: int = 0,
    units: Units = "check",
    advance: Advance | None = None,
    report: Report = lambda _: None,
    announce: Report = lambda _: None,
) -> Summary:
    """Index and screen the tiles, make pairs, set the hold-out aside, and write the tables.

    All tables are replaced, or none. A folder of another layout than the challenge's becomes tiles
    first, in `work/tiles/`.

    Args:
        data: the folder.
        work: the folder of tables.
        rule: the cloud rule.
        source: the layout of the folder, see `kit.sources`; None to find it out.
        wanted: units and ranges of the folder's numbers that differ from those of its source.
        max_cloud: the largest cloud ratio by the rule that Dataset-2 admits; that of the source if
            None, which is 0 where it says nothing.
        detector: what looks at scenes beside the rule; the rule alone decides if None.
        window_days: how far apart the dates of a pair may be.
        holdout: how many pairs to set aside at most.
        split_by: how; None for blocks, or for the validation part of the source if it has one.
        seed: of what is drawn at random.
        units: what becomes of doubts about units.
        advance: called with (done, total) during the work.
        report: takes a line about a data set or a hold-out that is empty, and about units that
            are doubtful.
        announce: takes a line about what was found in a folder of another layout, and about what a
            detector has seen.

    Raises:
        InputError: no tiles, no readable scene or no pair within the window, where `failed.csv`
            lists what was left out; a hold-out that leaves none to train on; values that are not
            dB and DN; or a detector that is not installed, or asked about other than DN.
        BusyError: another process prepares into the same folder.
        OutputError: a table cannot be written.
    """
    data, work = Path(data), Path(work)
    if detector:
        ukis.version()  # before images are converted, which may take hours
    converted = find_tiles(
        data, work, source, wanted, units, advance, reflectance=detector is not None
    )
    held = _held(converted, split_by)
    if converted:
        for line in converted.lines:
            announce(line)
        data = converted.train
    elif detector:
        require_reflectance("--detector", read_tile_units(data))
    if max_cloud is None:
        max_cloud = converted.max_cloud if converted else 0.0
    settings = asdict(rule) | {
        "max_cloud": max_cloud,
        "window_days": window_days,
        "split": "source" if held else split_by or "blocks",
        "seed": seed,
    }
    if converted:
        settings |= {"source": converted.source, "units": converted.units}
    if detector:
        settings["detector"] = asdict(detector)
    with lock(work):
        found = measure_all(data, work, rule, None, advance, detector=detector, max_cloud=max_cloud)
        with together(work) as new:
            screening = found.write(new, max_cloud, units)
            screened = tuple(read_screened(new(SCENES)))
            pairs, lonely = pair(
                screened, window_days=window_days, max_cloud=max_cloud, ground=bool(converted)
            )
            rejected = (*found.rejected, *lonely)
            if converted:
                rejected = (*map(converted.with_file, rejected), *converted.rejected)
            if not pairs:
                write_rejected(work / FAILED, rejected)
                raise no_pairs(found, screened, rejected, window_days, work / FAILED)
            pairs = with_colors(pairs)
            if held:
                pairs = hold_out(pairs, held)
            else:
                pairs = split(pairs, holdout=holdout, by=split_by or "blocks", seed=seed)
            removed = _outside_dataset2(pairs, max_cloud)
            summary = _summarise(screening, pairs, rejected, removed)
            write_rejected(new(REJECTED), rejected)
            write_pairs(new(PAIRS), pairs, converted.units if converted else None)
            write_summary(new(SUMMARY), summary, pairs, data, settings)
        found.finish()
    for line in (*(converted.doubts if converted else ()), *screening.doubts):
        report(line)
    for line in screening.second_look.lines if screening.second_look else ():
        announce(line)
    for line in warnings(pairs, removed, rule, holdout, settings["split"]):
        report(line)
    return summary


def _held(converted: Converted | None, split_by: By | None) -> frozenset[SceneKey]:
    """The optical scenes of the source's own validation part, if they are to be the hold-out."""
    return converted.held if converted and split_by is None else frozenset()


def _summarise(
    screening: Screening,
    pairs: Sequence[Pair],
    rejected: Sequence[Rejection],
    removed: Mapping[str, int],
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
        dropped=tally(rejected) | dict(removed) | _buffer(pairs),
        distribution=distribution(pairs),
    )


def _outside_dataset2(pairs: Sequence[Pair], max_cloud: float) -> dict[str, int]:
    """Why pairs are outside Dataset-2, each counted once, at the first test that it fails."""
    dropped = [pair for pair in pairs if pair.dataset1 and not pair.dataset2]
    by_detector = [pair for pair in dropped if pair.cloud <= max_cloud]
    counts = {
        "optical nodata": sum(pair.nodata > 0 for pair in pairs),
        "QA60 cloud": sum(pair.nodata == 0 and pair.qa60 > 0 for pair in pairs),
        "heuristic cloud": len(dropped) - len(by_detector),
        "detector: cloud or shadow": sum(pair.flagged is not None for pair in by_detector),
        "detector: not seen": sum(pair.flagged is None for pair in by_detector),
    }
    return {kind: n for kind, n in counts.items() if n}


def _buffer(pairs: Sequence[Pair]) -> dict[str, int]:
    n = sum(pair.dataset1 and pair.split == "buffer" for pair in pairs)
    return {"overlaps the hold-out": n} if n else {}
