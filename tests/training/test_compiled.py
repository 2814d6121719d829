"""torch.compile is chosen by a measurement on a card, and a run goes on as it was started."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import kit.training.compiled
from kit.errors import InputError
from kit.runs.folder import read_compiled
from kit.training.compile_error import CompileError, compile_failures_named
from kit.training.compiled import Decision, decide
from kit.training.rates import Rate
from kit.training.setup import RunSetup
from kit.training.train import train
from tests.helpers.variants import tiny

RUN = Path("runs/p2phd1")
PLAIN = Rate(first_s=1.0, step_s=0.02, load_s=0.0, image_s=0.0)
FAST = replace(PLAIN, first_s=60.0, step_s=0.01)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[bool, Rate | Exception]:
    """This machine decides as if it had a card; the rates that it measures, by `compile`."""
    rates: dict[bool, Rate | Exception] = {False: PLAIN, True: FAST}

    def measure(setup: RunSetup, *, workers: int, compile: bool) -> Rate:
        found = rates[compile]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(kit.training.compiled, "measure_rate", measure)
    monkeypatch.setattr(kit.training.compiled, "pick", lambda: torch.device("cuda"))
    return rates


def setup(folder: Path, steps: int = 100_000, ranks: int = 1) -> RunSetup:
    """Of a run that has saved nothing."""
    made = SimpleNamespace(
        folder=folder,
        total_steps=steps,
        variant=tiny("p2phd1"),
        group=SimpleNamespace(
            is_main=True, world_size=ranks, on_all=lambda work: work(), broadcast=list
        ),
    )
    return made  # type: ignore[return-value]


def test_on_a_card_a_long_training_is_compiled_where_it_is_faster(card, tmp_path: Path) -> None:
    found = decide(setup(tmp_path), None, None, 1)
    assert found == Decision(
        True,
        "compiled by torch.compile: a step takes 10 ms compiled, 20 ms not",
        # The minutes of compiling have passed, and the training does not take them again.
        replace(FAST, first_s=PLAIN.first_s),
    )
    assert decide(setup(tmp_path, steps=10), None, 1.0, 1).compile  # by its hours, not its steps


@pytest.mark.parametrize(
    ("fast", "why"),
    [
        (replace(FAST, step_s=0.0199), "not compiled: a step takes 19.9 ms compiled, 20 ms not"),
        (replace(FAST, first_s=1001.0), "not compiled: a step takes 10 ms compiled, 20 ms not"),
        (torch.OutOfMemoryError(), "not compiled: cuda has too little memory for it"),
        (
            CompileError("p2phd1", "torch.compile fails on this machine: no Triton", remedy=""),
            "not compiled: torch.compile fails on this machine: no Triton",
        ),
    ],
)
def test_where_it_does_not_pay_or_fails_it_is_left_out_with_a_word(
    card, tmp_path: Path, fast: Rate | Exception, why: str
) -> None:
    card[True] = fast
    assert decide(setup(tmp_path), None, None, 1) == Decision(False, why, PLAIN)


def test_nothing_is_compiled_for_a_short_training_for_several_ranks_or_without_a_card(
    card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card[True] = AssertionError("was measured")
    short = setup(tmp_path, steps=1000)
    assert decide(short, None, None, 1) == Decision(False, rate=PLAIN)
    card[False] = card[True]
    assert decide(setup(tmp_path, ranks=2), None, None, 1) == Decision(False)
    monkeypatch.setattr(kit.training.compiled, "pick", lambda: torch.device("cpu"))
    assert decide(setup(tmp_path), None, None, 1) == Decision(False)


def test_what_is_asked_is_done_unmeasured(card, tmp_path: Path) -> None:
    card.clear()
    for asked in (True, False):
        assert decide(setup(tmp_path), asked, None, 1) == Decision(asked)


@pytest.mark.slow
def test_a_run_goes_on_as_it_was_started_unless_it_is_told_not_to(
    trained: Path, card, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []

    def compiled(network: nn.Module) -> Callable[..., object]:
        calls.append(True)
        return network

    def notes(**how: object) -> list[str]:
        told: list[str] = []
        train(
            tiny("p2phd1", "decay_epochs=0"),
            work=Path("work"),
            runs=Path("new"),
            watch=lambda record: told.append(record.get("note", "")),
            **how,
        )
        return [note for note in told if "compiled" in note]

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(kit.training.compiled, "_LEAST_S", 0.0)
    card[True] = replace(FAST, first_s=0.0)
    assert "a step takes 10 ms compiled" in notes()[0]
    assert read_compiled(Path("new/p2phd1")) and calls == [True]
    card.clear()  # where measuring would fail
    assert notes() == ["new/p2phd1: goes on compiled, as it was started"]
    assert calls == [True, True]
    told = "was started compiled and goes on uncompiled, its numbers will differ"
    assert told in notes(compile=False)[0]
    assert not read_compiled(Path("new/p2phd1")) and calls == [True, True]
    assert notes() == []


def test_a_run_of_an_earlier_kit_goes_on_uncompiled(trained: Path, card) -> None:
    card.clear()
    assert decide(setup(RUN), None, None, 1) == Decision(False)


@pytest.mark.slow
def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> None:
        raise RuntimeError("no working\ncompiler")

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: whole(network, backend=backend))
    problem = r"^p2phd1: torch\.compile fails .*no working compiler"
    with pytest.raises(InputError, match=problem) as told:
        train(tiny("p2phd1"), work=Path("work"), runs=Path("new"), compile=True)
    assert told.value.remedy == "train with --no-compile" and told.value.exit_code == 3


@pytest.mark.parametrize("of", ["torch._dynamo.exc", "torch._inductor.exc", "triton.compiler"])
def test_all_that_compiles_may_fail(of: str) -> None:
    failure = type("Failed", (RuntimeError,), {"__module__": of})
    with (
        pytest.raises(CompileError, match=r"fails on this machine: of 2\n"),
        compile_failures_named("spade2"),
    ):
        raise failure("of\n  2")


def test_other_failures_are_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), compile_failures_named("spade2"):
        _ = 1 / 0
