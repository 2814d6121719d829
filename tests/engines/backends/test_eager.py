"""Eager PyTorch, which other engines are built beside."""

from pathlib import Path

import pytest
import torch

from kit.engines.backend import Plan, Spec
from kit.engines.backends import eager
from kit.models.rewrites.fuse import for_inference
from tests.helpers.generators import saved


def test_what_ran_on_a_card_is_where_engines_are_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = saved(tmp_path, "unet1", [])
    expected = for_inference(weights.generator, "net").state_dict()
    # Stands for a card: what is moved there is on no other device.
    monkeypatch.setattr("kit.machine.device.pick", lambda: torch.device("meta"))
    eager.load(tmp_path, Spec("float32", 64, 64), Plan(1), lambda: weights.generator)
    assert {each.device.type for each in weights.placed.parameters()} == {"meta"}
    torch.testing.assert_close(for_inference(weights.generator, "net").state_dict(), expected)


def test_on_a_processor_there_is_one_generator(tmp_path: Path) -> None:
    weights = saved(tmp_path, "unet1", [])
    assert weights.placed is weights.generator
