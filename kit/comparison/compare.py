"""Two runs, ensembles or submissions -> by how much one is better, scene by scene.

In: their names, and for submissions a truth. Out: a `Comparison`. Refused by name: what there is
not, and two that have no scene in common.
"""

from pathlib import Path

from kit.comparison.archives import compare_archives
from kit.comparison.paired import Comparison
from kit.doubt import Units
from kit.progress import Advance, Report
from kit.storage.files import FITTED, RUNS, SUBMISSIONS, WORK, AnyPath


def compare(
    first: str,
    second: str,
    *,
    truth: AnyPath | None = None,
    measure: str | None = None,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    ensembles: AnyPath = FITTED,
    submissions: AnyPath = SUBMISSIONS,
    window_days: int = 7,
    units: Units = "check",
    advance: Advance | None = None,
    report: Report = lambda _: None,
) -> Comparison:
    """Compare two on the scenes that both have.

    Args:
        first: a run, a variant that was trained in folds, an ensemble, or variants with commas,
            which are scored on pairs that they have not seen; with a truth, a submission: an
            archive, or its name in `submissions`.
        second: another.
        truth: what submissions are scored against, as `kit score` takes it.
        measure: a key of `kit.metrics.MEASURES`; if None that of the first archive's layout, or of
            the fitted ensemble, or "mae".
        work: the folder of the tables of pairs, which also say which truths of a folder are clear.
        runs: the folder of trained runs; predictions that are missing are made there.
        ensembles: the folder of fitted ensembles.
        submissions: the folder of archives.
        window_days: how far a truth of a folder may be from the radar date.
        units: what becomes of doubts about the units of truths and submissions.
        advance: called with scenes and their number: predicted by each member, then scored.
        report: takes a line about what is made again, and about which runs are meant.

    Raises:
        InputError: a name means nothing, something is not usable, or no scene is common.
        BusyError: another process predicts what is held out.
    """
    if truth is not None:
        folder = Path(submissions)
        return compare_archives(
            _archive(first, folder),
            _archive(second, folder),
            Path(truth),
            measure,
            window_days=window_days,
            units=units,
            work=Path(work),
            advance=advance,
        )
    # Here, as torch takes a second or two to import, and archives do without.
    from kit.comparison.runs import compare_runs

    return compare_runs(
        first,
        second,
        measure,
        work=Path(work),
        runs=Path(runs),
        ensembles=Path(ensembles),
        advance=advance,
        report=report,
    )


def _archive(name: str, submissions: Path) -> Path:
    """An archive by its path, or by its name in the folder of submissions."""
    path = Path(name)
    if path.is_file() or len(path.parts) > 1:
        return path
    return submissions / f"{name.removesuffix('.zip')}.zip"
