"""The command that predicts what was trained or fitted, as the last line of others names it."""

from collections.abc import Iterable
from pathlib import Path

from kit.models.flips import FLIPS

VIEWS = max(FLIPS)
"""Views of a scene that are worth the time in which a network predicts them."""


def predict_next(ensemble: str, members: Iterable[str], runs: Path) -> str:
    """`kit predict` of an ensemble, of so many views of each scene as help its members."""
    from kit.prediction.members import predict_command

    return predict_command(ensemble, flips=VIEWS if flips_help(members, runs) else 1)


def flips_help(members: Iterable[str], runs: Path) -> bool:
    """Whether one of these runs, or variants in folds, is a network: trees and priors gain nothing.

    Raises:
        InputError: one is not trained, or cannot be read.
    """
    from kit.runs.ensemble import is_fitted

    return not all(is_fitted(runs, name) for name in members)
