"""`ensembles/NAME.json`: an ensemble that was fitted; and what the name of an ensemble means.

In: a name of the paper's, of a file in that folder, or variants with commas. Out: its members and
how their images become one, in exact integers; of a fitted one also by what it was fitted, and to
which weights. Refused by name: a file that is missing or damaged, or says what no ensemble can.
"""

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from kit.averaging import Averaging
from kit.errors import InputError
from kit.prediction.affine import parse_affine
from kit.prediction.combination import Combination, Stretch
from kit.prediction.last import read_last
from kit.storage.files import FITTED
from kit.storage.seal import read_record, write_record
from kit.variants.fold_names import base_name
from kit.variants.limits import NAME_LIMIT, is_name
from kit.variants.registry import ENSEMBLES, VARIANTS, ensemble_members

_FORMAT = 1
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Fitted:
    """By what an ensemble was fitted."""

    method: str
    """How its weights were found."""
    score: float
    """By the ensemble's measure, on scenes that it was not fitted on."""
    interval: tuple[float, float]
    """The 95 % interval of the score."""
    against: dict[str, float]
    """The scores of one colour and of the plain mean of the members on the same scenes."""
    scenes: int
    """How many held-out scenes there were."""
    pairs_sha256: str
    """Fingerprint of the table of pairs that they are of."""
    weights: dict[str, str]
    """For each run the SHA-256 of the weights that predicted them."""
    candidates: dict[str, str] = field(default_factory=dict)
    """The same for all that were considered; empty in files of earlier kits."""
    kinds: dict[str, int] = field(default_factory=dict)
    """How many of the scenes are of unseen places, and how many of seen ones; empty as above."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Members, and how their images become one; `fitted` is None where nothing was fitted."""

    name: str
    members: tuple[str, ...]
    combination: Combination = field(default_factory=Combination)
    measure: str = ""
    target: str = ""
    fitted: Fitted | None = None

    def changed(self, weights: Mapping[str, str]) -> tuple[str, ...]:
        """The runs that have other weights than those that the ensemble was fitted to.

        Args:
            weights: the SHA-256 of the weights of runs, as they are now.
        """
        then = self.fitted.weights if self.fitted else {}
        return tuple(run for run, now in weights.items() if then.get(run, now) != now)

    def doubts(self, weights: Mapping[str, str]) -> tuple[str, ...]:
        """The same as lines for whoever predicts with it."""
        return tuple(
            f"{self.name} was fitted to other weights of {run}: fit it again: {self.again()}"
            for run in self.changed(weights)
        )

    def again(self) -> str:
        """The command that fits it again, to the same candidates."""
        candidates = self.fitted.candidates if self.fitted else {}
        names = dict.fromkeys(base_name(run) for run in candidates) or self.members
        words = ("kit", "fit", *names, "--measure", self.measure, "--name", self.name)
        return shlex.join((*words, "--overwrite"))

    def check_targets(self, targets: Mapping[str, str]) -> None:
        """Refuse runs that predict another space than the images that the ensemble was fitted to.

        Args:
            targets: of each run, `Variant.target`.

        Raises:
            InputError: names one.
        """
        if not self.fitted:
            return
        for run, target in targets.items():
            if target != self.target:
                problem = f"predicts {target}, but {self.name} was fitted to {self.target}"
                remedy = f"train it with target={self.target}, or fit again: {self.again()}"
                raise InputError(run, problem, remedy=remedy)


def ensemble_path(folder: Path, name: str) -> Path:
    """The file of a fitted ensemble, whether it exists or not."""
    return folder / f"{name}{_SUFFIX}"


def check_name(name: str) -> None:
    """Refuse a name that names no file, or that means a variant or an ensemble of the paper's.

    Raises:
        InputError: says which.
    """
    if not is_name(name):
        where = name[:120] or "--name"
        raise InputError(where, "not a name for an ensemble", remedy=f"give {NAME_LIMIT}")
    for problem, known in (
        ("is an ensemble of the paper's", ENSEMBLES),
        ("is the name of a variant", VARIANTS),
    ):
        if name in known:
            raise InputError(name, problem, remedy="give another --name")


def find_ensemble(name: str, folder: Path = FITTED) -> Ensemble:
    """The ensemble that a name means.

    Args:
        name: of the paper's, of a file in `folder`, or variants with commas.
        folder: of the fitted ensembles.

    Raises:
        InputError: nothing is named, or something twice, or the file cannot be used.
    """
    if _is_fitted(name, folder):
        return read_ensemble(ensemble_path(folder, name))
    members = ensemble_members(name)
    return Ensemble("-".join(members) if "," in name else name, members)


def chosen_ensemble(predictions: Path, name: str | None = None, folder: Path = FITTED) -> Ensemble:
    """The ensemble of that name; without one the ensemble that was predicted last.

    Raises:
        InputError: nothing was predicted yet, or as `find_ensemble`.
    """
    if name is not None:
        return find_ensemble(name, folder)
    last, members = read_last(predictions)
    if _is_fitted(last, folder):
        return find_ensemble(last, folder)
    return Ensemble("-".join(members) if "," in last else last, members)


def known_ensembles(folder: Path = FITTED) -> list[str]:
    """The names of the paper's ensembles, and of the fitted ones in `folder`."""
    return [*ENSEMBLES, *sorted(path.stem for path in folder.glob(f"[!.]*{_SUFFIX}"))]


def write_ensemble(folder: Path, ensemble: Ensemble) -> Path:
    """Write a fitted ensemble; returns its file.

    Raises:
        OutputError: it cannot be written.
    """
    assert ensemble.fitted
    made = ensemble.combination
    weights = made.averaging if isinstance(made.averaging, tuple) else (1,) * len(ensemble.members)
    path = ensemble_path(folder, ensemble.name)
    record = {
        "name": ensemble.name,
        "members": [list(pair) for pair in zip(ensemble.members, weights, strict=True)],
        "average": "median" if made.averaging == "median" else "mean",
        "affine": made.affine and made.affine.as_json(),
        "stretch": made.stretch,
        "measure": ensemble.measure,
        "target": ensemble.target,
        "fitted": asdict(ensemble.fitted),
    }
    write_record(path, _FORMAT, record)
    return path


def read_ensemble(path: Path) -> Ensemble:
    """The ensemble in a file that `write_ensemble` wrote.

    Raises:
        InputError: the file is missing, damaged or of a newer format, or no such file.
    """
    remedy = f"fit it again: kit fit --name {path.stem} --overwrite"
    values = read_record(path, _FORMAT, remedy)
    try:
        members = tuple(str(variant) for variant, _ in values["members"])
        if values["stretch"] not in get_args(Stretch):
            raise ValueError(f"stretch {values['stretch']!r}")
        ensemble = Ensemble(
            name=str(values["name"]),
            members=members,
            combination=Combination(
                _averaging(values), parse_affine(values["affine"]), values["stretch"]
            ),
            measure=str(values["measure"]),
            target=str(values["target"]),
            fitted=_fitted(values["fitted"]),
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"not a fitted ensemble ({error!r})"
        raise InputError(path, problem, remedy=remedy) from None
    if ensemble.name != path.stem:
        problem = f"was written as {ensemble.name[:40]}"
        raise InputError(path, problem, remedy="give it its own name again")
    return ensemble


def _is_fitted(name: str, folder: Path) -> bool:
    return name not in ENSEMBLES and "/" not in name and ensemble_path(folder, name).is_file()


def _averaging(values: Mapping[str, Any]) -> Averaging:
    names, weights = zip(*values["members"], strict=True)
    if len(set(names)) < len(names) or any(type(w) is not int or w < 1 for w in weights):
        raise ValueError(f"members {values['members']}")
    if values["average"] == "median" and set(weights) == {1}:
        return "median"
    if values["average"] != "mean" or math.gcd(*weights) != 1:
        raise ValueError(f"average {values['average']!r} with weights {weights}")
    return "mean" if set(weights) == {1} else weights


def _fitted(values: Mapping[str, Any]) -> Fitted:
    low, high = map(float, values["interval"])
    return Fitted(
        method=str(values["method"]),
        score=float(values["score"]),
        interval=(low, high),
        against={str(name): float(score) for name, score in values["against"].items()},
        scenes=int(values["scenes"]),
        pairs_sha256=str(values["pairs_sha256"]),
        weights=_digests(values["weights"]),
        candidates=_digests(values.get("candidates", {})),
        kinds={str(kind): int(count) for kind, count in values.get("kinds", {}).items()},
    )


def _digests(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(run): str(sha256) for run, sha256 in values.items()}
