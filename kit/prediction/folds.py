"""The name of a variant -> the members whose predictions it stands for: its own, or its folds'.

In: the folder of predictions and a name. Out: names of members; of an ensemble its members, and how
their images become one. Refused by name: folds that are missing, or were trained with different
settings or on different pairs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kit.averaging import spread
from kit.errors import InputError
from kit.prediction.combination import Combination
from kit.prediction.manifest import manifest_path, predicted
from kit.prediction.members import Member, predict_command, read_member, read_members
from kit.progress import Report
from kit.runs.differences import unlike
from kit.runs.folds import Origin, complete, folds_of, mixture, own_run
from kit.variants.fold_names import is_fold
from kit.variants.record import from_record


def predicted_runs(
    predictions: Path, name: str, report: Report = lambda _: None
) -> tuple[str, ...]:
    """The members that a name stands for: its own predictions, or those of all its folds.

    Args:
        predictions: the folder of predictions.
        name: of a run, or of a variant that was trained in folds.
        report: takes a line if both are there; the folds do not count then.

    Raises:
        InputError: a fold is missing, or the folds were trained with different settings or pairs.
    """
    again = f"run: {predict_command(name)}"
    names = [run for run in predicted(predictions) if is_fold(run, name)]
    members = {run: read_member(predictions / run) for run in names}
    variants = {
        run: from_record(member.config, manifest_path(member.folder), again)
        for run, member in members.items()
    }
    found = folds_of(name, variants)
    if not found:
        return (name,)
    if manifest_path(predictions / name).exists():
        report(own_run(name, len(found)))
        return (name,)
    runs = complete(name, found, predictions, lambda _: again)
    for run in runs[1:]:
        if problem := unlike(found[run], found[runs[0]]):
            remedy = f"train it with the settings of the others, and {again} --overwrite"
            raise InputError(predictions / run, problem, remedy=remedy)
        if members[run].pairs_sha256 != members[runs[0]].pairs_sha256:
            problem = f"was trained on other pairs than {runs[0]}"
            raise InputError(predictions / run, problem, remedy=f"{again} --overwrite")
    return runs


def predicted_members(
    predictions: Path,
    names: Sequence[str],
    combination: Combination,
    known: Iterable[str] = (),
    report: Report = lambda _: None,
) -> tuple[tuple[Member, ...], Combination]:
    """The members of an ensemble, and how their images become one: folds share a weight.

    Args:
        predictions: the folder of predictions.
        names: of the variants that the ensemble is of.
        combination: of one image for each of these.
        known: ensembles that may have been meant.
        report: as `predicted_runs`.

    Raises:
        InputError: as `predicted_runs` and `kit.prediction.members.read_members`.
    """
    runs = [predicted_runs(predictions, name, report) for name in names]
    members = read_members(predictions, [run for each in runs for run in each], known)
    averaging = spread(combination.averaging, [*map(len, runs)])
    return members, replace(combination, averaging=averaging)


def mixed_members(members: Iterable[Member]) -> tuple[str, ...]:
    """Lines about members that were not trained on the same pairs and folds."""
    return mixture(
        Origin(member.base_name, member.config.get("folds", 1), member.pairs_sha256)
        for member in members
    )
