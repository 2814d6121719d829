"""Thousands of damaged weights files: each is refused by name, or is still what was saved."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kit.errors import InputError
from kit.models.registry import build_generator
from kit.runs.tensors import TensorFile, digest, save_tensors, write_tensors
from kit.runs.weights import Weights, load_weights, save_weights
from tests.helpers.mutants import MUTANTS, VALUES, mutant
from tests.helpers.soak import cases
from tests.helpers.variants import tiny

VARIANT = tiny("p2phd1", "width=1")
FACTS = {"mean_color": [0.1, 0.2, 0.3], "epoch": 3}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, build_generator(VARIANT), VARIANT, FACTS)
    return path


def loaded(path: Path) -> Weights | None:
    """The weights, or None where they are refused by the name of the file."""
    try:
        weights = load_weights(path)
        _ = weights.colors
    except InputError as refusal:
        assert refusal.exit_code == 3 and refusal.where == str(path), refusal
        assert len(str(refusal)) < 1000, refusal
        return None
    return weights


def test_bytes_that_changed_are_refused_or_mean_the_same(saved: Path) -> None:
    whole = load_weights(saved)
    expected = whole.generator.state_dict()
    data = saved.read_bytes()
    tried = refused = 0
    for number in cases("mutants-weights", MUTANTS, few=100):
        what, damaged = mutant(data, number)
        saved.write_bytes(damaged)
        tried += 1
        if (found := loaded(saved)) is None:
            refused += 1
            continue
        assert (found.variant, found.facts) == (whole.variant, whole.facts), what
        state = found.generator.state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected), what
    assert refused >= 0.8 * tried - 5


def odd(about: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A description with one field, at any depth, of another value, lost, or new."""
    about = copy.deepcopy(about)
    places: list[tuple[dict[str, Any] | list[Any], Any]] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                places.append((value, key))
                collect(value[key])

    collect(about)
    holder, key = places[random.integers(len(places))]
    kind = random.integers(8)
    if kind == 0 and isinstance(holder, dict):
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder["new"] = holder[key]
    else:
        holder[key] = VALUES[random.integers(len(VALUES))]
    return about


def odd_tensors(
    tensors: dict[str, Tensor], random: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    """The tensors with one of another type, shape or name, lost, or new."""
    name = list(tensors)[random.integers(len(tensors))]
    tensor = tensors[name]
    rest = {each: value for each, value in tensors.items() if each != name}
    yield rest
    yield rest | {name: tensor.double()}
    yield rest | {name: tensor.half()}
    yield rest | {name: tensor.int()}
    yield rest | {name: tensor.flatten()[:0]}
    yield rest | {name: tensor[None]}
    yield rest | {name + "x": tensor}
    yield tensors | {"new": torch.zeros(3)}


@pytest.mark.slow
def test_a_description_that_was_sealed_by_other_hands_is_refused_or_valid(saved: Path) -> None:
    """With its checksum right: what is loaded is a variant that a training could have had."""
    file = TensorFile(saved, str)
    tensors, about = file.tensors(), file.about
    for number in cases("mutants-weights-description", MUTANTS, few=100):
        changed = odd(about, np.random.default_rng((1, number)))
        try:
            write_tensors(
                saved, tensors,
                {"kit": json.dumps(changed | {"sha256": digest(tensors, changed)})},
            )  # fmt: skip
        except ValueError:  # a number that JSON cannot hold
            continue
        if found := loaded(saved):
            assert found.generator.state_dict().keys() == tensors.keys()
            assert found.variant.model == "pix2pixhd" and found.variant.seed < 2**64


def test_other_tensors_that_were_sealed_by_other_hands_are_refused(saved: Path) -> None:
    file = TensorFile(saved, str)
    tensors, about = file.tensors(), file.about
    for number in cases("mutants-weights-tensors", MUTANTS, few=1, most=125):
        for changed in odd_tensors(tensors, np.random.default_rng((2, number))):
            save_tensors(saved, changed, about)
            assert loaded(saved) is None
