"""Why a folder of tiles gives no pair, no Dataset-2 or no hold-out, and what would help.

In: what was screened and what was left out. Out: errors and warnings, whose remedy follows the
reason that cost most.
"""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.errors import InputError
from kit.pairs.pairing import pair
from kit.pairs.table import Pair
from kit.screening.rule import CloudRule
from kit.screening.screen import Measured
from kit.screening.table import Screened
from kit.tiles.names import BANDS, FORM
from kit.tiles.rejection import Rejection, tally, tally_text

_NAMES = {"Sentinel1": "Sentinel-1", "Sentinel2": "Sentinel-2"}
_ANY_DAYS = 10**6
_FEW = 5  # pairs
_UNPAIRED = (
    "no radar in the window",
    "no radar at the place",
    "sizes differ",
    "grids differ",
    "radar nodata",
)
_DATASET2 = {
    "optical nodata": "scenes at the edge of a swath make no pairs of Dataset-1 or Dataset-2: add "
    "scenes without nodata",
    "QA60 cloud": "what QA60 marks as cloud is in neither data set, and no option admits it: add "
    "scenes of other dates",
    "detector: cloud or shadow": "the detector finds cloud or shadow in what the rule passes: look "
    "at some by kit show, or give --detector-on dropped, which keeps what the rule passes",
    "detector: not seen": "the detector could not read these scenes: mend their tiles, or omit "
    "--detector",
    "heuristic cloud": "the rule finds cloud above {threshold} at scale {scale}: raise --threshold "
    "or --max-cloud",
}


_SHOWN = {"heuristic cloud": "cloud by the rule"}


def shown(reason: str) -> str:
    """A reason of `Summary.dropped` as it is told; what files call it stays."""
    return _SHOWN.get(reason, reason)


def no_pairs(
    found: Measured,
    screened: Sequence[Screened],
    rejected: Sequence[Rejection],
    window_days: int,
    see: Path,
) -> InputError:
    """The error for a folder without a pair; `see` is where all that was left out is listed."""
    counts = Counter(row.scene.sensor for row in screened)
    missing = next((sensor for sensor in ("Sentinel2", "Sentinel1") if not counts[sensor]), None)
    if missing:
        problem, remedy = _missing(missing, found)
    else:
        reasons = tally_text(tally(rejected))
        problem = f"no pair within {window_days} days" + (f" ({reasons})" if reasons else "")
        remedy = _unpaired(screened, rejected)
    return InputError(found.data, problem, remedy=f"{remedy}; see {see}" if rejected else remedy)


def _missing(sensor: str, found: Measured) -> tuple[str, str]:
    """Why there is no scene of a sensor, and what would help."""
    name = _NAMES[sensor]
    lost = [item for item in found.rejected if item.name.startswith(f"{sensor} ")]
    kinds = tally(lost)
    if lost and next(iter(kinds)) == "missing band":
        bands = Counter(band for item in lost for band in BANDS[sensor] if band in item.reason)
        band, count = bands.most_common(1)[0]
        problem = f"no {name} scene is complete: {count} of {len(lost)} have no {band}"
        return problem, f"export {band} too: a scene needs {', '.join(BANDS[sensor])}"
    if lost:
        first = next(item for item in lost if item.kind == next(iter(kinds)))
        problem = f"no {name} scene can be read ({tally_text(kinds)}): {first.reason}"
        return problem, "fetch its tiles again, or mend them"
    if alike := difflib.get_close_matches(sensor, found.others, cutoff=0.75):
        count = found.others[alike[0]]
        return f"no tile of {sensor}, but {count} of {alike[0]}", f"rename them to {sensor}_..."
    if names := [item.name for item in found.rejected if item.kind == "name"]:
        problem = f"no tile of {sensor}; {len(names)} files have other names, such as {names[0]}"
        return problem, f"tiles are called {FORM}"
    remedy = "give the folder that holds both sensors, in itself or in its sent1/ and sent2/"
    return f"no {name} scene", remedy


def _unpaired(screened: Sequence[Screened], rejected: Sequence[Rejection]) -> str:
    """What would help where no optical scene has a radar scene."""
    kind = _commonest(rejected)
    if kind == "no radar in the window":
        pairs, others = pair(screened, window_days=_ANY_DAYS, max_cloud=0)
        if pairs:
            days = min(abs((p.radar.date - p.optical.date).days) for p in pairs)
            return f"the nearest are {days} days apart: --window-days {days} or more"
        kind = _commonest(others)  # what keeps them apart in any window
    if kind == "sizes differ":
        return "export the tiles of both sensors at one size"
    if kind == "grids differ":
        return "warp the tiles of both sensors onto one grid"
    if kind == "radar nodata":
        return "add radar scenes that cover their tiles: those with nodata make no pair"
    keys = {row.scene.sensor: row.scene.key for row in screened}
    one, other = ("_".join(keys[s].place) for s in ("Sentinel1", "Sentinel2"))
    return (
        "both sensors must name a place by the same digits: radar is at "
        f"{one}, say, and optical at {other}"
    )


def _commonest(rejected: Sequence[Rejection]) -> str:
    """The most frequent reason for which scenes make no pair; "" if there is none."""
    counts = Counter(item.kind for item in rejected if item.kind in _UNPAIRED)
    return counts.most_common(1)[0][0] if counts else ""


def warnings(
    pairs: Sequence[Pair], removed: Mapping[str, int], rule: CloudRule, holdout: int, by: str
) -> list[str]:
    """A line where Dataset-2 or the hold-out is empty or small, with what would help.

    Args:
        pairs: all, split already.
        removed: how many are outside Dataset-2, by reason.
        rule: the cloud rule.
        holdout: how many pairs the hold-out was to have at most.
        by: how it was chosen, as `kit prepare --split` names it; "source" where the data say it.
    """
    dataset2 = sum(pair.dataset2 for pair in pairs)
    if not dataset2:
        remedy = _DATASET2[max(removed, key=removed.__getitem__)]
        remedy = remedy.format(threshold=rule.threshold, scale=rule.scale)
        kept = sum(pair.dataset1 for pair in pairs)
        told = tally_text({shown(reason): number for reason, number in removed.items()})
        return [
            f"Dataset-2 is empty: {len(pairs)} pairs, less {told}; Dataset-1 has {kept}. "
            f"{remedy[0].upper()}{remedy[1:]}"
        ]
    if held := sum(pair.split == "holdout" for pair in pairs):
        few = "one pair" if held == 1 else f"{held} pairs"
        line = f"a hold-out of {few}: what is scored on it depends on chance; add tiles of places"
        if by == "blocks" and len({pair.place for pair in pairs if pair.dataset2}) > 1:
            line += ", or give --holdout 0 and train in folds, which score all pairs"
        return [line] if held < _FEW else []
    if not holdout:
        return [
            "no hold-out: --holdout is 0, so only folds compare trainings, and say when to end: "
            "kit train-all small --folds 5, then kit train-all small; or give --holdout 1 or more"
        ]
    if dataset2 < 5:
        reason, remedy = f"a fifth of {dataset2} pairs is less than one", "add tiles"
    else:  # the source says what it is
        reason = "no pair of the validation part is clear and in Dataset-2"
        remedy = "give --split blocks, which takes others"
    return [f"no hold-out: {reason}, so trainings cannot be compared or stop at the best; {remedy}"]
