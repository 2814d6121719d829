"""The name of a variant -> the runs that it stands for: its own, or all of its folds.

In: a folder of runs and a name. Out: names of runs. Refused by name: folds that are missing, folds
of different settings, divisions or tables of pairs, and a run of their name that is none of theirs.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kit.errors import InputError
from kit.progress import Report
from kit.runs.differences import unlike
from kit.runs.folder import (
    BEST,
    CONFIG,
    read_division,
    read_pairs_sha256,
    read_variant,
    trained_runs,
)
from kit.runs.folds import Origin, complete, folds_of, own_run
from kit.runs.weights import Weights, read_weights, training_command
from kit.storage.files import known_to_differ
from kit.variants.fold_names import fold_folders
from kit.variants.settings import Variant
from kit.variants.train_command import train_command


def expand(runs: Path, name: str, report: Report = lambda _: None) -> tuple[str, ...]:
    """The runs that a name stands for.

    Args:
        runs: the folder of all runs.
        name: of a run, or of a variant that was trained in folds.
        report: takes a line if the run itself is there and its folds too, which do not count if
            that has weights.

    Returns:
        The name itself if there is such a run, or nothing else; otherwise the runs of its folds.

    Raises:
        InputError: a fold is missing; or the folds, or the run itself, do not belong together.
    """
    found = trained_folds(runs, name)
    if not found:
        return (name,)
    if (runs / name / BEST).exists():
        _check_own(runs, name, found)
        report(own_run(name, len(found)))
        return (name,)
    return _folds(runs, name, found, report)


def scored_runs(
    runs: Path, name: str, *, holdout: bool, report: Report = lambda _: None
) -> tuple[str, ...]:
    """The runs by whose held-out pairs a name is scored and fitted; raises as `expand`.

    Args:
        runs: the folder of all runs.
        name: of a run, or of a variant that was trained in folds.
        holdout: whether the table of pairs has a hold-out. If not, a run of that name was trained
            on all pairs, and its folds speak for it.
        report: takes a line if the run itself is there and its folds too.
    """
    found = trained_folds(runs, name)
    if holdout or not found:
        return expand(runs, name, report)
    if (runs / name / BEST).exists():
        _check_own(runs, name, found)
        report(f"{name}: scored by its {len(found)} folds; the run of all pairs predicts")
    return _folds(runs, name, found, report)


def _folds(runs: Path, name: str, found: dict[str, Variant], report: Report) -> tuple[str, ...]:
    names = complete(name, found, runs, lambda fold: f"train it: kit train {name} --fold {fold}")
    _check_alike(runs, {run: found[run] for run in names})
    own = runs / name
    if (own / CONFIG).exists() and not (own / BEST).exists():
        report(
            f"{name}: the run of this name has no weights, so its {len(names)} folds are used; "
            f"to go on with it: {training_command(own)}"
        )
    return names


def trained_variants(runs: Path) -> tuple[str, ...]:
    """The names of what is trained, of the folds of a variant its name alone; sorted."""
    return tuple(sorted({_base_name(runs / run) for run in trained_runs(runs)}))


def named_or_trained(runs: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The names of runs that a user gave, or those of all that are trained where there are none.

    Raises:
        InputError: nothing is trained, or one is named twice.
    """
    names = tuple(names) or trained_variants(runs)
    if not names:
        raise InputError(runs, "holds no trained run", remedy="train one first: kit train spade2")
    if len(set(names)) < len(names):
        raise InputError(" ".join(names), "names a variant twice", remedy="name each once")
    return names


def trained_folds(runs: Path, name: str) -> dict[str, Variant]:
    """The runs of folds of `name` that have weights, and their variants."""
    folders = [folder for folder in fold_folders(runs, name) if (folder / BEST).exists()]
    return folds_of(name, {folder.name: _variant(folder) for folder in folders})


def is_fitted(runs: Path, name: str) -> bool:
    """Whether a run, or a variant that was trained in folds, is fitted in one go, as trees are.

    Raises:
        InputError: it is not trained, or cannot be read.
    """
    folds = trained_folds(runs, name)
    variant = next(iter(folds.values())) if folds else _variant(runs / name)
    return variant.is_fitted


def origin(runs: Path, weights: Weights) -> Origin:
    """Of what a run is."""
    variant = weights.variant
    return Origin(variant.base_name, variant.folds, read_pairs_sha256(runs / variant.name))


def _base_name(folder: Path) -> str:
    try:
        return _variant(folder).base_name
    except InputError:  # whoever reads its weights says why
        return folder.name


def _variant(folder: Path) -> Variant:
    # Weights that were copied to another machine may have come alone.
    known = (folder / CONFIG).exists()
    return read_variant(folder) if known else read_weights(folder / BEST).variant


def _check_alike(runs: Path, folds: dict[str, Variant]) -> None:
    """Refuse folds of other settings or pairs, or that divide them otherwise, as far as known."""
    first, *others = folds
    for run in others:
        if problem := unlike(folds[run], folds[first]):
            remedy = "train it again with --overwrite, with the settings of the others"
            raise InputError(runs / run, problem, remedy=remedy)
    known = [runs / name for name in folds if (runs / name / CONFIG).exists()]
    for folder in known[1:]:
        for what, read in (("on other pairs", read_pairs_sha256), ("in folds otherwise", _divided)):
            if read(folder) != read(known[0]):
                problem = f"was trained {what} than {known[0].name}"
                remedy = "train it again with --overwrite, on the pairs and groups of the others"
                raise InputError(folder, problem, remedy=remedy)


def _check_own(runs: Path, name: str, folds: dict[str, Variant]) -> None:
    """Refuse a run that would stand for the folds of its name, of other settings or pairs."""
    own = _variant(runs / name)
    for run, variant in folds.items():
        problem = unlike(own, variant)
        away = f"move its folds away ({name}.fold*), or the run itself"
        if problem:
            command = train_command(replace(variant, name=name, folds=1, fold=1))
            remedy = f"{away}; or train it again: {command} --overwrite"
            raise InputError(runs / name, problem, remedy=remedy)
        if known_to_differ(*(read_pairs_sha256(runs / each) for each in (name, run))):
            problem = f"was trained on other pairs than {run}"
            raise InputError(runs / name, problem, remedy=f"{away}; or train both on the same")


def _divided(folder: Path) -> str | None:
    division = read_division(folder)
    return division.sha256 if division else None
