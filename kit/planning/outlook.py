"""What to expect of an archive, and what would improve it, or the plan of one.

In: an archive, the ensemble that it is of, and the plan that its members were trained by. Out: the
score on held-out pairs with its interval, and lines about what is worth doing next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit.intervals import ENOUGH_PLACES
from kit.models.flips import FLIPS
from kit.pairs.summary import SUMMARY, read_summary
from kit.pairs.table import PAIRS, read_pairs
from kit.plain_text import count_of
from kit.planning.plan import PLAN, Plan
from kit.planning.recipes import ALL_PAIRS, all_pairs_hours
from kit.prediction.ensembles import Ensemble, read_ensemble
from kit.runs.records import counted, read_records
from kit.storage.files import RUNS, WORK
from kit.variants.fold_names import fold_folders

_MOST_VIEWS = max(FLIPS)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The archive that was made; `score` is that of its measure on pairs that were held out.

    `kinds` counts these by what they are of, where that is known. `better` are lines about what
    would improve it.
    """

    archive: Path
    measure: str
    score: float
    interval: tuple[float, float]
    scenes: int
    members: tuple[str, ...]
    better: tuple[str, ...]
    kinds: dict[str, int] = field(default_factory=dict)


def outlook(archive: Path, ensemble: Path, plan: Plan) -> Outlook:
    """What to expect of `archive`, whose `ensemble` was fitted.

    Raises:
        InputError: the ensemble or the table of pairs cannot be read.
    """
    found = read_ensemble(ensemble)
    assert found.fitted
    return Outlook(
        archive,
        found.measure,
        found.fitted.score,
        found.fitted.interval,
        found.fitted.scenes,
        found.members,
        tuple(_better(found, plan)),
        found.fitted.kinds,
    )


def instead_of_holding_out(plan: Plan, work: Path) -> str:
    """What usually errs less than a hold-out of few pairs; "" where that is right.

    Where training sees the places that are held out, these are for other dates, of which folds tell
    nothing; and the validation part of a source is what others are scored on.

    Raises:
        InputError: the summary that `prepare` wrote is damaged.
    """
    summary = read_summary(work / SUMMARY) if (work / SUMMARY).exists() else {}
    split, held = summary.get("settings", {}).get("split"), summary.get("holdout", 0)
    pairs = plan.pairs + held
    few = pairs <= ALL_PAIRS and plan.hours >= all_pairs_hours(pairs)
    if split != "blocks" or not held or not few:
        return ""
    return (
        f"{held} of {pairs} pairs are held out; so few are usually better all trained on, while "
        "folds score: the same kit prepare with --holdout 0, in another folder if runs are here, "
        "then kit plan --overwrite"
    )


def _better(ensemble: Ensemble, plan: Plan) -> Iterator[str]:
    rising = [name for name in ensemble.members if _still_improving(name)]
    if rising:
        yield f"more hours: {', '.join(rising)} scored best at the last validation"
    elif plan.left_out:
        name, why = next(iter(plan.left_out.items()))
        yield f"more hours, or a faster machine: {name} was left out, since {why}"
    if plan.flips < _MOST_VIEWS:
        again = f"flips = {_MOST_VIEWS} in {PLAN}, and the same command again"
        yield f"{again}: there was time for {count_of(plan.flips, 'view')} of a scene"
    places = len({pair.place for pair in read_pairs(WORK / PAIRS)})
    if places < ENOUGH_PLACES:
        yield f"more places: pairs of {places} tell little, and of few a network learns little"
    unused = {each.name for each in plan.trainings} - {*ensemble.members}
    if unused:
        yield f"{', '.join(sorted(unused))}: no weight in the ensemble; train another in its place"


def _still_improving(name: str) -> bool:
    """Whether the last validation of each run that is validated was the best one."""
    for folder in fold_folders(RUNS, name) or [RUNS / name]:
        errors = [counted(record) for record in read_records(folder) if "holdout_mae" in record]
        if len(errors) < 2 or min(errors) < errors[-1]:
            return False
    return True
