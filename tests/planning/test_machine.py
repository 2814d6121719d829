"""What a plan measures on this machine, and what it says of what the memory does not hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import kit.machine.memory
import kit.planning.machine
import kit.training.rates
from kit.planning.machine import Machine, Unsuitable
from kit.planning.recipes import Size
from kit.training.fit_trees import fit_trees
from kit.variants.registry import UNET2, VARIANTS


@pytest.mark.slow
def test_a_size_that_memory_does_not_hold_is_told_and_one_that_it_holds_is_measured(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.machine.memory, "available_memory", lambda _: 200 * 2**20)
    told = list[str]()
    machine = Machine(Path("work"), told.append)
    large = machine.sized(replace(UNET2, precision="float32"), Size(1_000, 32, 2))
    expected = "width 1000, crop 32, batch 2 does not fit the memory"
    with pytest.raises(Unsuitable, match=expected):
        machine.rate(large)
    assert told[-1] == f"unet, {expected}"
    assert machine.rate(machine.sized(UNET2, Size(2, 32, 2))).step_s > 0
    with pytest.raises(Unsuitable, match=expected):  # which is measured once
        machine.rate(large)


def test_the_machine_of_a_plan_has_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.planning.machine, "available_memory", lambda: 3 * 2**30)
    monkeypatch.setattr(kit.planning.machine.torch, "get_num_threads", lambda: 2)
    assert Machine(Path("work")).name == "CPU, 2 threads, 3.0 GiB of memory available"


def test_what_the_prior_takes_is_measured_without_a_tree(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.training.rates, "fit_trees", None)
    fit = Machine(Path("work")).fit(VARIANTS["prior1"])
    assert fit.fit_s > 0 and fit.image_s > 0


def test_trees_of_small_tiles_are_measured_on_more_and_more_pixels(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pixel takes is the difference of two fits, which noise decides where it is small."""
    pytest.importorskip("lightgbm")
    pixels = list[int]()

    def fit(*given: Any, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
        generator, facts = fit_trees(*given, **options)
        pixels.append(facts["pixels"])
        return generator, facts

    monkeypatch.setattr(kit.training.rates, "fit_trees", fit)
    Machine(Path("work")).fit(VARIANTS["trees1"])
    assert len(pixels) == 2 and pixels[0] <= pixels[1] / 4
