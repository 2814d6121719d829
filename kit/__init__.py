"""From Sentinel-1 radar tiles to a scored upload archive of Sentinel-2 images.

The names below are the Python interface: the functions that the commands of the same names call,
`load` for a trained run, and `variant` for what to train. Each is imported when it is first used,
so that `import kit` costs nothing.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.comparison.compare import compare as compare
    from kit.errors import KitError as KitError
    from kit.fitting.fit import fit as fit
    from kit.pairs.prepare import prepare as prepare
    from kit.prediction.predict import predict as predict
    from kit.reporting.report import report as report
    from kit.runs.trained import load as load
    from kit.scoring.score import score as score
    from kit.screening.screen import screen as screen
    from kit.showing.show import show as show
    from kit.simulation.simulate import simulate as simulate
    from kit.submission.package import package as package
    from kit.training.train import train as train
    from kit.training.validate import validate as validate
    from kit.translation.translate import translate as translate
    from kit.variants.registry import variant as variant
    from kit.verification.verify import verify as verify

__version__ = "0.6.0"

_HOMES = {
    "KitError": "kit.errors",
    "compare": "kit.comparison.compare",
    "fit": "kit.fitting.fit",
    "load": "kit.runs.trained",
    "package": "kit.submission.package",
    "predict": "kit.prediction.predict",
    "prepare": "kit.pairs.prepare",
    "report": "kit.reporting.report",
    "score": "kit.scoring.score",
    "screen": "kit.screening.screen",
    "show": "kit.showing.show",
    "simulate": "kit.simulation.simulate",
    "train": "kit.training.train",
    "translate": "kit.translation.translate",
    "validate": "kit.training.validate",
    "variant": "kit.variants.registry",
    "verify": "kit.verification.verify",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        _share_cores()
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _share_cores() -> None:
    """Settle how many threads OpenMP starts, before the first of these modules loads torch."""
    import_module("kit.machine.cores").share_cores()


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
