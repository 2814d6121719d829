"""The name of a variant -> the runs that it stands for: its own, or all of its folds.

In: a folder of runs and a name. Out: names of runs. Refused by name: folds that are missing, and
folds of different divisions or tables of pairs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from kit.errors import InputError
from kit.progress import Report
from kit.runs.folder import BEST, CONFIG, read_division, read_pairs_sha256, read_variant
from kit.runs.weights import read_weights
from kit.variants import Variant

_SHOWN = 3


def expand(runs: Path, name: str, report: Report = lambda _: None) -> tuple[str, ...]:
    """The runs that a name stands for.

    Args:
        runs: the folder of all runs.
        name: of a run, or of a variant that was trained in folds.
        report: takes a line if the run itself is there and its folds too, which then do not count.

    Returns:
        The name itself if there is such a run, or nothing else; otherwise the runs of its folds.

    Raises:
        InputError: a fold is missing, or the folds do not belong together.
    """
    found = trained_folds(runs, name)
    if not found:
        return (name,)
    if (runs / name / BEST).exists():
        report(f"{name}: the run of this name is used, and not its {len(found)} folds")
        return (name,)
    names = complete(name, found, runs, lambda fold: f"train it: kit train {name} --fold {fold}")
    _check_alike(runs, names)
    return names


def expand_all(
    runs: Path, names: Iterable[str], report: Report = lambda _: None
) -> tuple[str, ...]:
    """The runs that names stand for, in their order; raises as `expand`."""
    return tuple(run for name in names for run in expand(runs, name, report))


def trained_folds(runs: Path, name: str) -> dict[str, Variant]:
    """The runs of folds of `name` that have weights, and their variants."""
    folders = sorted(path.parent for path in runs.glob(f"{name}.fold*/{BEST}"))
    return folds_of(name, {folder.name: _variant(folder) for folder in folders})


def folds_of(name: str, variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """Those of some runs that are folds of `name`."""
    return {
        run: variant
        for run, variant in variants.items()
        if variant.folds > 1 and variant.base_name == name
    }


def complete(
    name: str, found: Mapping[str, Variant], where: Path, remedy: Callable[[str], str]
) -> tuple[str, ...]:
    """The folds of `name` in their order, if all are there.

    Args:
        name: of the variant.
        found: its folds that are there; at least one.
        where: what an error names as their place.
        remedy: from a fold such as "2/5" to what to do if it is missing.

    Raises:
        InputError: one is missing, or they are of different numbers of folds.
    """
    counts = sorted({variant.folds for variant in found.values()})
    if len(counts) > 1:
        numbers = " and ".join(map(str, counts))
        problem = f"holds folds of {name} of which some are of {numbers}"
        raise InputError(where, problem, remedy="move those of one number away")
    (count,) = counts
    there = {variant.fold: run for run, variant in found.items()}
    if missing := [fold for fold in range(1, count + 1) if fold not in there]:
        few = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        problem = f"lacks {len(missing)} of {count} folds of {name}: {few}"
        raise InputError(where, problem, remedy=remedy(f"{missing[0]}/{count}"))
    return tuple(there[fold] for fold in range(1, count + 1))


def by_variant(runs: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The names of runs, those of one variant's folds together."""
    return tuple(tuple(group) for _, group in groupby(runs, key=base_name))


def base_name(run: str) -> str:
    """The name of a run without that of its fold."""
    base, dot, fold = run.rpartition(".fold")
    return base if dot and fold.isdecimal() else run


def _variant(folder: Path) -> Variant:
    # Weights that were copied to another machine may have come alone.
    known = (folder / CONFIG).exists()
    return read_variant(folder) if known else read_weights(folder / BEST).variant


def _check_alike(runs: Path, names: Sequence[str]) -> None:
    """Refuse folds that were trained on other pairs, or divide them otherwise, as far as known."""
    known = [runs / name for name in names if (runs / name / CONFIG).exists()]
    for folder in known[1:]:
        for what, read in (("on other pairs", read_pairs_sha256), ("in folds otherwise", _divided)):
            if read(folder) != read(known[0]):
                problem = f"was trained {what} than {known[0].name}"
                remedy = "train it again with --overwrite, on the pairs and groups of the others"
                raise InputError(folder, problem, remedy=remedy)


def _divided(folder: Path) -> str | None:
    division = read_division(folder)
    return division.sha256 if division else None
