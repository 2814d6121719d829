"""The name of an ensemble -> the weights of all runs that it stands for.

In: a name, and what engines have to be. Out: weights, and how the images of all of them are
averaged. Refused by name: a member that is not trained, or for another target than the ensemble was
fitted to, and a request that no engine of it meets.
"""

from dataclasses import dataclass
from pathlib import Path

from kit.averaging import Averaging, spread
from kit.engines.choose import candidates, check_fitted
from kit.engines.request import Request
from kit.prediction.ensembles import Ensemble, find_ensemble, known_ensembles
from kit.progress import Report
from kit.runs.ensemble import expand, origin
from kit.runs.folds import mixture
from kit.runs.weights import Weights, libraries, read_run


@dataclass(frozen=True, slots=True)
class TrainedMembers:
    """An ensemble, the weights of its runs, and how their images are averaged.

    A variant that was trained in folds stands for all of them, which share its weight.
    """

    ensemble: Ensemble
    weights: tuple[Weights, ...]
    averaging: Averaging

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the runs."""
        return tuple(each.variant.name for each in self.weights)


def read_trained_members(
    name: str, runs: Path, ensembles: Path, request: Request, report: Report
) -> TrainedMembers:
    """Read the weights of an ensemble.

    Args:
        name: of the paper's ensembles, of one that was fitted, or variants with commas.
        runs: the folder of trained runs.
        ensembles: the folder of fitted ensembles.
        request: which engine is to be used.
        report: takes a line about members that do not belong together.

    Raises:
        InputError: a member is not trained, or for another target; or no engine of it can meet the
            request.
    """
    chosen = find_ensemble(name, ensembles)
    runs_of = [expand(runs, member, report) for member in chosen.members]
    candidates(request)  # refuse an impossible request even if there is nothing to predict
    known = known_ensembles(ensembles)
    weights = tuple(read_run(runs, run, known) for each in runs_of for run in each)
    chosen.check_targets({each.variant.name: each.variant.target for each in weights})
    for each in weights:
        check_fitted(each.variant, request)
    if line := libraries(weights):
        report(line)
    for line in mixture(origin(runs, each) for each in weights):
        report(line)
    for line in chosen.doubts({each.variant.name: each.sha256 for each in weights}):
        report(line)
    averaging = spread(chosen.combination.averaging, [len(each) for each in runs_of])
    return TrainedMembers(chosen, weights, averaging)
