"""Trained weights -> where another training starts.

In: a weights file of this kit, and a generator that is still to be trained. Out: the generator with
these weights, and what they have seen. Where it is given other planes than they were trained with,
those that both know keep their weights, new ones start at zero, and a line says so. Refused by
name: a network of another shape, and a variant that is fitted in one go.
"""

from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from kit.errors import InputError
from kit.models.registry import build_generator
from kit.models.rewrites.spectral_norm import fold, folded_state, unfolded_state
from kit.progress import Report
from kit.runs.training_pairs import TRAINING_PAIRS, read_training_pairs
from kit.runs.weights import Weights, read_weights
from kit.units_record import UnitsRecord, units_text
from kit.variants.settings import Variant

_RADAR = ("VV", "VH")
_SHAPE = ("model", "width", "depth", "norm")
_MEANING = ("output", "radar_resize", "target")
"""Fields that change what weights predict, or what they should, and not their shape."""


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from, and the optical scenes that they have seen; None if not known."""

    weights: Weights
    seen: frozenset[str] | None

    def warnings(self, held: Set[str], units: UnitsRecord) -> list[str]:
        """What speaks against starting from these weights, in lines.

        Args:
            held: the optical scenes that the new run is to hold out.
            units: those of its pairs.
        """
        lines = []
        if self.weights.units != units:
            lines.append(
                "warning: the weights that it starts from were trained on "
                f"{units_text(self.weights.units)}, and the pairs hold {units_text(units)}"
            )
        if self.seen is None:
            lines.append(
                f"warning: {TRAINING_PAIRS} is not beside {self.weights.path}: "
                "what these weights have seen is not known"
            )
        elif seen := held & self.seen:
            lines.append(
                f"warning: the weights that it starts from were trained on {len(seen)} of the "
                f"{len(held)} pairs that are held out: its scores say little, and kit validate "
                "refuses them"
            )
        return lines


def read_start(path: Path, variant: Variant) -> Start:
    """The weights file that a training of `variant` is to start from, and what it has seen.

    Raises:
        InputError: it is missing, damaged or of a network of another shape, either variant is
            fitted in one go, or what lies beside it is damaged.
    """
    if not path.exists():
        raise InputError(path, "no such file", remedy="give a weights file that is there")
    weights = read_weights(path)
    for each in (variant, weights.variant):
        if each.is_fitted:
            problem = f"{each.name} is fitted in one go, and cannot start from weights"
            raise InputError(path, problem, remedy="leave --init out, or give it of a network")
    with torch.device("meta"):
        wanted = folded_state(build_generator(variant))
    _fitting(wanted, variant, weights)
    trained = read_training_pairs(path.parent, weights.variant.name)
    return Start(weights, trained.seen if trained else None)


@torch.no_grad()
def start_from(generator: nn.Module, variant: Variant, weights: Weights, report: Report) -> None:
    """Set the weights of `generator`, the untrained one of `variant`.

    Args:
        generator: on any device.
        variant: what is to be trained.
        weights: of a generator of the same shape, but for the planes that it is given.
        report: takes a line about planes that only one of the two is given.

    Raises:
        InputError: the file holds other tensors, or of another shape.
    """
    fitting = _fitting(folded_state(generator), variant, weights)
    generator.load_state_dict(unfolded_state(generator, fitting))
    before, now = _planes(weights.variant), _planes(variant)
    if told := "; ".join((*_other_planes(before, now), *_other_meaning(weights.variant, variant))):
        report(f"{weights.path}: {told}")


def _fitting(wanted: dict[str, Tensor], variant: Variant, weights: Weights) -> dict[str, Tensor]:
    """The tensors of `weights` as those of `variant` that are `wanted`, on their device."""
    found = weights.tensors()
    before, now = _planes(weights.variant), _planes(variant)
    if missing := sorted(set(wanted) ^ set(found)):
        raise _other_shape(weights, variant, f"{missing[0]} is in one of the two alone")
    inputs, fitting = _input_weights(variant), dict[str, Tensor]()
    for name, tensor in wanted.items():
        given = found[name].to(tensor.device)
        if name in inputs and given.shape[1] == len(before):
            given = _rearranged(given, before, now)
        if given.shape != tensor.shape:
            shapes = f"{name} is {[*given.shape]}, not {[*tensor.shape]}"
            raise _other_shape(weights, variant, shapes)
        fitting[name] = given
    return fitting


def _planes(variant: Variant) -> list[str]:
    """What the planes of a variant's input are, in their order."""
    date = ["sine of the date", "cosine of the date"] * variant.date
    prior = ["prior B4", "prior B3", "prior B2", "presence of a prior"] * variant.prior
    means = [f"{band} over {side} pixels" for side in variant.boxes for band in _RADAR]
    return [*_RADAR, *date, *prior, *means]


def _input_weights(variant: Variant) -> set[str]:
    """The weights whose second axis are the planes: those that another choice of planes changes."""
    other = replace(variant, prior=not variant.prior)
    with torch.device("meta"):
        one, two = (fold(build_generator(each)).state_dict() for each in (variant, other))
    return {name for name in one if one[name].shape != two[name].shape}


def _rearranged(given: Tensor, before: list[str], now: list[str]) -> Tensor:
    """A weight of a convolution of the input planes, for another choice of them."""
    made = given.new_zeros((given.shape[0], len(now), *given.shape[2:]))
    for index, plane in enumerate(now):
        if plane in before:
            made[:, index] = given[:, before.index(plane)]
    return made


def _other_planes(before: list[str], now: list[str]) -> list[str]:
    """What becomes of planes that are new or gone, in words."""
    new = [plane for plane in now if plane not in before]
    gone = [plane for plane in before if plane not in now]
    parts = [f"{', '.join(new)} start at weight 0"] if new else []
    parts += [f"the weights of {', '.join(gone)} are left out"] if gone else []
    return parts


def _other_meaning(before: Variant, now: Variant) -> list[str]:
    """What weights of the same shape were trained with, and are not any more, in words."""
    return [
        f"was trained with {field}={getattr(before, field)}, not {getattr(now, field)}"
        for field in _MEANING
        if getattr(before, field) != getattr(now, field)
    ]


def _other_shape(weights: Weights, variant: Variant, problem: str) -> InputError:
    fields = [
        f"{field}={getattr(weights.variant, field)}"
        for field in _SHAPE
        if getattr(weights.variant, field) != getattr(variant, field)
    ]
    known = ", ".join(fields)
    remedy = f"use what it was trained with: {known}" if fields else "give weights of this network"
    return InputError(weights.path, f"is of another network: {problem}", remedy=remedy)
