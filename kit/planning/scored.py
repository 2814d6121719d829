"""What the ensemble and the scores that lie there are of, against the runs and pairs of now.

In: a measure and the names of what is trained. Out: for both whether they are of it, and of what
else they are. They say themselves by which weights and pairs they were made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.pairs.table import PAIRS, fingerprint, holdout_pairs, read_pairs
from kit.prediction.ensembles import read_ensemble
from kit.runs.ensemble import scored_runs
from kit.runs.weights import read_run
from kit.storage.files import RUNS, WORK
from kit.training.validation import read_validation
from kit.variants.fold_names import base_name

_Weights = dict[str, dict[str, str]]
"""For each member the runs that score it, and the SHA-256 of their weights."""


@dataclass(frozen=True, slots=True)
class State:
    """Whether something is there as it is asked for; `differs` says what is there in its place."""

    done: bool = False
    differs: str = ""


def ensemble_state(path: Path, measure: str, members: Sequence[str]) -> State:
    """Whether the ensemble in a file was fitted for this measure, to these members as they are now.

    Without a table of pairs, as in a dry run, nothing counts as done, here and in Table 1.

    Args:
        path: of the ensemble.
        measure: what it should be fitted for.
        members: what should have been considered for it.

    Raises:
        InputError: it is there and cannot be read, or the pairs cannot.
    """
    if not path.exists() or not (WORK / PAIRS).exists():
        return State()
    ensemble = read_ensemble(path)
    pairs_sha256, weights = _now(members)
    if ensemble.measure != measure:
        problem = f"is fitted for {ensemble.measure}"
    elif not ensemble.fitted or ensemble.fitted.pairs_sha256 != pairs_sha256:
        problem = "was fitted to other pairs than those of now"
    elif not ensemble.fitted.candidates:
        problem = "does not say of what its members were chosen"
    else:
        problem = _other(ensemble.fitted.candidates, weights)
    return State(not problem, problem and f"{path}: {problem}")


def is_validated(measure: str, members: Sequence[str]) -> bool:
    """Whether Table 1 is there: by this measure, of these members, on the pairs of now.

    Raises:
        InputError: the pairs cannot be read.
    """
    if not (WORK / PAIRS).exists():
        return False
    pairs_sha256, weights = _now(members)
    try:
        there = read_validation(RUNS)
    except InputError:
        return False
    same = (there.measure, there.pairs_sha256) == (measure, pairs_sha256)
    return same and all(runs and there.weights.get(each) == runs for each, runs in weights.items())


def _now(members: Sequence[str]) -> tuple[str, _Weights]:
    """The fingerprint of the pairs, and the weights of members; none of one that is not trained."""
    pairs = read_pairs(WORK / PAIRS)
    held = bool(holdout_pairs(pairs))
    return fingerprint(pairs), {each: _weights(each, held) for each in members}


def _weights(member: str, held: bool) -> dict[str, str]:
    try:
        runs = scored_runs(RUNS, member, holdout=held)
        return {run: read_run(RUNS, run).sha256 for run in runs}
    except InputError:
        return {}


def _other(then: dict[str, str], weights: _Weights) -> str:
    """How candidates of an ensemble differ from the runs of now; "" if they do not."""
    now = {run: sha256 for each in weights.values() for run, sha256 in each.items()}
    if new := now.keys() - then:
        return f"was fitted without {_listed(new)}"
    if gone := then.keys() - now:
        return f"was fitted with {_listed(gone)} too"
    if changed := [run for run in then if then[run] != now[run]]:
        return f"was fitted to other weights of {_listed(changed)}"
    return ""


def _listed(runs: Iterable[str]) -> str:
    """Their variants, each once."""
    return ", ".join(sorted({*map(base_name, runs)}))
