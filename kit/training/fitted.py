"""Runs that are fitted in one go, where others are trained step by step.

In: a run's setup, of a variant whose model is of `kit.variants.settings.FITTED`. Out, in its
folder: `weights.safetensors`, a grid of samples, and one record of metrics. There is no checkpoint:
a fit that is interrupted starts again, which takes seconds.
"""

import time
from collections.abc import Callable
from typing import Any

from torch import nn

from kit.runs import folder as folders
from kit.runs.records import append_record, truncate_records
from kit.runs.weights import read_weights
from kit.training.fit_prior import fit_prior
from kit.training.fit_trees import fit_trees, other_library
from kit.training.run_log import Watch
from kit.training.setup import RunSetup
from kit.training.signals import delayed_signals
from kit.training.validator import Validator, fault_of

Made = tuple[nn.Module, dict[str, Any]]
"""A generator, and what its weights file says of its fit."""
_FITS: dict[str, Callable[..., Made]] = {"trees": fit_trees, "prior": fit_prior}


def fit(setup: RunSetup, watch: Watch | None) -> tuple[float | None, float | None]:
    """Fit a run, unless it has intact weights.

    Every rank fits the same, which is deterministic, and predicts its share of the hold-out.

    Args:
        setup: the run.
        watch: called with the record of the metrics, and with notes and progress.

    Returns:
        MAE and PSNR on the hold-out of what was fitted, now or before; None without a hold-out.

    Raises:
        InputError: what fits it is not installed, or a pair cannot be read.
        CheckError: the output of the generator is not finite.
        KeyboardInterrupt: a signal came; nothing is saved.
    """
    report = watch if watch and setup.group.is_main else lambda record: None
    path = setup.folder / folders.BEST
    fault = setup.group.on_all(lambda: fault_of(path) if path.exists() else "missing")
    if not setup.group.any(bool(fault)):
        facts = read_weights(path).facts
        other = other_library(facts)
        by = f" by {other}" if other else ""
        report({"note": f"fitted before{by}; --overwrite fits it again"})
        return facts.get("holdout_mae"), facts.get("holdout_psnr")
    if path.exists():
        report({"note": f"fitting {path} again: {fault}"})
    with delayed_signals(ignore_repeats=setup.group.world_size > 1) as signals:
        record = _fit(setup, signals, report)
    return record.get("holdout_mae"), record.get("holdout_psnr")


def _fit(setup: RunSetup, signals: list[int], report: Watch) -> dict[str, Any]:
    def advance(done: int, total: int, words: str = "", /) -> None:
        report({"done": done, "total": total, "words": words})

    def attempt() -> Made | None:
        try:
            return _FITS[setup.variant.model](
                setup.dataset, stop=lambda: bool(signals), advance=advance
            )
        except KeyboardInterrupt:
            return None

    started = time.monotonic()
    made = setup.group.on_all(attempt)
    if setup.group.any(made is None) or made is None:
        raise KeyboardInterrupt
    fitted = time.monotonic()
    record = {"step": 1, "steps": 1, "fit_s": round(fitted - started, 2)}

    def before(scores: dict[str, Any]) -> None:
        """Record the metrics; the weights, written after them, say that the run is finished."""
        truncate_records(setup.folder, 0)
        record.update(scores, validation_s=round(time.monotonic() - fitted, 2))
        append_record(setup.folder, record)

    Validator(setup).publish(*made, signals, before)
    report(record)
    return record
