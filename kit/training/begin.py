"""A folder becomes the run of what is to be trained, or goes on as the one that it is.

In: the folder, locked, the variant and its data. Out: `config.json` and `pairs.json`; and what the
new run replaces that had saved nothing. Refused by name: a run of other settings or data, or one
that would begin from other weights.
"""

from contextlib import suppress
from pathlib import Path

from kit.errors import BusyError, InputError
from kit.inputs.planes import InputPlanes
from kit.pairs.table import fingerprint, pixels_fingerprint
from kit.runs import folder as folders
from kit.runs.claim import Basis, claim
from kit.runs.training_pairs import TRAINING_PAIRS, read_training_pairs, write_training_pairs
from kit.storage.half_written import sweep
from kit.training.initial import Start
from kit.training.run_data import RunData
from kit.variants.settings import Variant


def unsaved_settings(folder: Path, variant: Variant) -> str:
    """Which settings of a run that has saved nothing this one replaces; "" if none."""
    if not (folder / folders.CONFIG).exists() or folders.saved(folder):
        return ""
    changed: list[str] = []
    with suppress(InputError):  # one that cannot be read is written again
        changed = folders.other_settings(folder, variant)
    return f"{folder}: begun with {'; '.join(changed)}; it had saved nothing" if changed else ""


def refuse_forgotten(folder: Path) -> None:
    """Refuse a run that was begun from weights, has saved nothing, and would begin from none.

    Raises:
        BusyError: it is one.
    """
    before = None
    if (folder / folders.CONFIG).exists() and not folders.saved(folder):
        before = folders.read_initial(folder)
    if before:
        raise BusyError(
            f"{folder}: was begun with --init {before.file}, and has saved nothing\n"
            f"  give --init {before.file} again, or --overwrite"
        )


def begin_run(
    folder: Path,
    asked: Variant,
    data: RunData,
    planes: InputPlanes,
    start: Start | None,
    compiled: bool,
) -> Variant:
    """Make `folder` the run of `asked`, and write which pairs it is trained on.

    Args:
        folder: of the run, which the caller has locked.
        asked: what is to be trained.
        data: what it is trained on.
        planes: what a network is given of it.
        start: the weights that it starts from, if it does.
        compiled: whether the generator is compiled from now on.

    Returns:
        The variant to train, as `kit.runs.claim.claim` has it.

    Raises:
        BusyError: it is the run of another configuration or of other data.
        InputError: its configuration cannot be read, or it says no more what the weights that it
            started from have seen.
    """
    seen = [(pair.radar, pair.optical) for pair in data.chosen]
    basis = Basis(
        fingerprint(data.pairs),
        chosen=seen,
        holdout=len(data.holdout),
        division=data.division,
        series_sha256=planes.series.sha256 if planes.series else None,
        initial=folders.Initial(str(start.weights.path), start.weights.sha256) if start else None,
        units=data.units,
        pixels_sha256=pixels_fingerprint(data.pairs),
    )
    variant = claim(folder, asked, basis, compiled=compiled)
    before = _seen_before(folder, start)
    held = (pair.optical for pair in data.held)
    clear = [pair.optical for pair in data.chosen if pair.dataset2] if variant.prior else None
    write_training_pairs(folder, seen, held, before, clear)
    for place in (folders.SAMPLES, folders.CHECKPOINTS):
        sweep(folder / place)
    return variant


def _seen_before(folder: Path, start: Start | None) -> frozenset[str]:
    """The optical scenes that the weights which the run starts from were trained on.

    Raises:
        InputError: the run says no more what they were, and they are not given again.
    """
    if not folders.saved(folder):
        return (start.seen if start else None) or frozenset()
    begun = folders.read_initial(folder)
    if begun is None:
        return frozenset()
    with suppress(InputError):
        if trained := read_training_pairs(folder):
            return frozenset(trained.before)
    if start and start.seen is not None:  # of the same weights, as `claim` has seen to
        return start.seen
    problem = "is gone or damaged, and with it what the weights of --init were trained on"
    remedy = f"restore it, or give --init {begun.file} again, with its pairs.json beside it"
    raise InputError(folder / TRAINING_PAIRS, problem, remedy=remedy)
