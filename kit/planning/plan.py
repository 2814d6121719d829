"""`plan.toml`: what is trained within a time, to be read and edited by a person.

In: a plan. Out: the file, and the plan again, whatever an editor has done to it. Refused by name:
what is no TOML, a field that no plan has, values of another kind, and trainings that `kit train`
would refuse.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import InputError, did_you_mean
from kit.metrics import check_measure
from kit.models.flips import check_flips
from kit.storage.files import output
from kit.variants.registry import find_variant
from kit.variants.settings import Variant, setting_text

PLAN = Path("plan.toml")
_REMEDY = "mend it, or let kit plan write another: kit plan --hours H --overwrite"


@dataclass(frozen=True, slots=True)
class Training:
    """One variant to train: its settings, and the minutes that its runs take; 0 if not known."""

    variant: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    minutes: float = 0.0

    @property
    def texts(self) -> tuple[str, ...]:
        """The settings as `kit train --set` takes them."""
        return tuple(setting_text(name, value) for name, value in self.settings.items())

    @property
    def name(self) -> str:
        """The name of its run, or of all its folds."""
        return self.chosen.name

    @property
    def chosen(self) -> Variant:
        """The variant with its settings."""
        return find_variant(self.variant, self.texts)


@dataclass(frozen=True, slots=True)
class Plan:
    """What ends within `hours`: trainings in `folds`, on `gpus` at a time, and what follows them.

    With `all_pairs` each is trained on all pairs after its folds, which then only score it, and
    that run predicts. `measure` is what `kit fit` goes by; `flips` is for `kit predict`; `pack`
    says whether training from a pack pays. `minutes` is what each part takes; `left_out` says why
    others are not trained.
    """

    hours: float
    machine: str
    pairs: int
    measure: str
    folds: int
    all_pairs: bool
    flips: int
    pack: bool
    gpus: int
    trainings: tuple[Training, ...]
    minutes: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


_FIELDS: dict[str, type] = {
    "hours": float, "machine": str, "pairs": int, "measure": str, "folds": int,
    "all_pairs": bool, "flips": int, "pack": bool, "gpus": int,
}  # fmt: skip
_LEAST: dict[str, float] = {"hours": 0, "pairs": 0, "folds": 1, "gpus": 0}
_TRAINING: dict[str, type] = {"variant": str, "settings": dict, "minutes": float}


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as TOML.

    Raises:
        OutputError: it cannot be written.
    """
    lines = [
        "# Made by kit plan. Change what you like; then: kit train-all --plan " + path.name,
        "",
        "[plan]",
        *(f"{name} = {_toml(getattr(plan, name))}" for name in _FIELDS),
    ]
    for each in plan.trainings:
        settings = ", ".join(f"{name} = {_toml(value)}" for name, value in each.settings.items())
        lines += ["", "[[train]]", f"variant = {_toml(each.variant)}"]
        lines += [f"minutes = {_toml(each.minutes)}  # expected, of all its runs"]
        lines += [f"settings = {{ {settings} }}"] if settings else []
    lines += ["", "# What is expected of each part.", "[minutes]"]
    lines += [f"{name} = {_toml(value)}" for name, value in plan.minutes.items()]
    if plan.left_out:
        lines += ["", "# Why other variants are not trained; nothing reads it.", "[left_out]"]
        lines += [f"{json.dumps(name)} = {_toml(why)}" for name, why in plan.left_out.items()]
    with output(path) as part:
        part.write_bytes(("\n".join(lines) + "\n").encode())


def read_plan(path: Path) -> Plan:
    """The plan in a TOML file.

    Raises:
        InputError: the file is missing or no TOML, or says what no plan can.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy="make one: kit plan --hours H") from None
    except OSError as error:
        problem, remedy = f"cannot be read ({error.strerror})", "give a TOML file that may be read"
        raise InputError(path, problem, remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"not readable as TOML ({error})", remedy=_REMEDY) from None
    _check_names(path, values, ("plan", "train", "minutes", "left_out"), "")
    about, trainings = values.get("plan"), values.get("train")
    if not isinstance(about, dict):
        raise InputError(path, "has no table [plan]", remedy=_REMEDY)
    if not isinstance(trainings, list) or not trainings:
        raise InputError(path, "has no table [[train]]: nothing is to be trained", remedy=_REMEDY)
    chosen = _checked(path, about, _FIELDS, "[plan]", _FIELDS)
    for name, least in _LEAST.items():
        if chosen[name] < least or (name == "hours" and not chosen[name] < float("inf")):
            problem = f"{name} of [plan] is {chosen[name]}"
            raise InputError(path, problem, remedy=f"it must be {least} or more")
    plan = Plan(
        **chosen,
        trainings=tuple(_training(path, each, n) for n, each in enumerate(trainings, start=1)),
        minutes=_numbers(values.get("minutes")),
        left_out={str(k): str(v) for k, v in dict(values.get("left_out") or {}).items()},
    )
    _check(path, plan)
    return plan


def _training(path: Path, values: Any, number: int) -> Training:
    where = f"[[train]] number {number}"
    if not isinstance(values, dict):
        raise InputError(path, f"{where} is {values!r}", remedy=_REMEDY)
    training = Training(**_checked(path, values, _TRAINING, where, ("variant",)))
    try:
        _ = training.chosen
    except InputError as error:
        problem = f"{where}: {error.where}: {error.problem}"
        raise InputError(path, problem, remedy=error.remedy or _REMEDY) from None
    if "folds" in training.settings or "fold" in training.settings:
        remedy = "set folds in [plan], for all: kit fit takes members of as many folds alone"
        raise InputError(path, f"{where} sets folds of its own", remedy=remedy)
    return training


def _check(path: Path, plan: Plan) -> None:
    """Refuse what no command would take, and two runs of one name."""
    try:
        check_measure(plan.measure)
        check_flips(plan.flips)
    except InputError as error:
        raise InputError(path, f"{error.where}: {error.problem}", remedy=error.remedy) from None
    names = [each.name for each in plan.trainings]
    if twice := [name for name in names if names.count(name) > 1]:
        remedy = 'give one of them another name: settings = { name = "..." }'
        raise InputError(path, f"two [[train]] are called {twice[0]}", remedy=remedy)
    if plan.all_pairs and plan.folds == 1:
        problem = "all_pairs is true and folds is 1: nothing would score what is trained on all"
        raise InputError(path, problem, remedy="set folds to 2 or more, or all_pairs to false")
    targets = {each.chosen.target: each.name for each in plan.trainings}
    if len(targets) > 1:
        listed = " and ".join(f"{name} ({target})" for target, name in targets.items())
        remedy = "train one kind in this plan, and the other in a plan of its own"
        raise InputError(path, f"{listed} cannot be averaged", remedy=remedy)


def _checked(
    path: Path,
    values: Mapping[str, Any],
    known: Mapping[str, type],
    where: str,
    needed: Any,
) -> dict[str, Any]:
    """The values of a table, each of its kind, of which the `needed` ones are there."""
    _check_names(path, values, known, f" in {where}")
    if missing := [name for name in needed if name not in values]:
        raise InputError(path, f"{where} has no {missing[0]}", remedy=_REMEDY)
    found = dict(values)
    for name, value in values.items():
        kind = known[name]
        if kind is float and type(value) is int:
            found[name] = float(value)
        elif type(value) is not kind:
            words = {dict: "a table, such as { width = 16 }", bool: "true or false", str: "a text"}
            remedy = f"it must be {words.get(kind, 'a number')}"
            raise InputError(path, f"{name} of {where} is {str(value)[:40]!r}", remedy=remedy)
    return found


def _check_names(path: Path, values: Mapping[str, Any], known: Any, where: str) -> None:
    if unknown := [name for name in values if name not in known]:
        meant = did_you_mean(unknown[0], known)
        problem = f"nothing is called {unknown[0]!r}{where}"
        raise InputError(path, problem, remedy=f"{meant}known are {', '.join(known)}")


def _numbers(values: Any) -> dict[str, float]:
    found = dict(values) if isinstance(values, dict) else {}
    return {k: float(v) for k, v in found.items() if type(v) in (int, float)}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
