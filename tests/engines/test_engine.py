"""An engine whose device is short of memory: smaller batches, a line that says so, equal images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kit.engines.accuracy import REFERENCE
from kit.engines.backend import Plan, Spec
from kit.engines.cache import Measurement
from kit.engines.engine import Engine
from kit.errors import InputError
from kit.models.infer import Forward, infer_batches
from kit.runs.weights import Weights
from tests.helpers.variants import tiny

SIDE = 8
WEIGHTS = Weights(Path("weights"), tiny("spade2"), {}, "", dict)


@dataclass
class Card:
    """A backend with room for some tiles; what it draws says which tile it is of."""

    room: int
    error: type[Exception] = MemoryError
    at: str = "run"
    loaded: list[Plan] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)

    def require(self) -> None: ...

    def version(self) -> str:
        return "card 1"

    def device(self) -> str:
        return "a small card"

    def precisions(self) -> Sequence[str]:
        return ("float32",)

    def plans(self) -> Sequence[Plan]:
        return ()

    def build(self, generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None: ...

    def load(
        self, folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]
    ) -> Forward:
        self.loaded.append(plan)
        if self.at == "load":
            self.check(plan.batch)

        def run(sar: Tensor) -> Tensor:
            assert len(sar) == plan.batch
            self.check(len(sar))
            self.drawn.append(len(sar))
            return sar[:, :1].expand(-1, 3, -1, -1)

        return run

    def check(self, tiles: int) -> None:
        if tiles > self.room:
            raise self.error("no room")


def engine(card: Card, plan: Plan, reported: list[str] | None = None, name: str = "card") -> Engine:
    measurement = Measurement(plan, 1.0, REFERENCE)
    report = (lambda _: None) if reported is None else reported.append
    spec = Spec("float32", SIDE, SIDE)
    return Engine(name, card, spec, Path(), measurement, WEIGHTS, report)


def tiles(count: int) -> np.ndarray:
    levels = np.linspace(0, 1, count, dtype=np.float32)[:, None, None, None]
    return np.broadcast_to(levels, (count, 2, SIDE, SIDE)).copy()


def expected(radar: np.ndarray) -> np.ndarray:
    return np.repeat(radar[:, :1], 3, axis=1)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
@pytest.mark.parametrize("at", ["load", "run"])
def test_without_room_the_batch_is_halved_and_all_is_drawn_in_order(
    error: type[Exception], at: str
) -> None:
    reported: list[str] = []
    card = Card(room=2, error=error, at=at)
    drawing = engine(card, Plan(8, 2), reported)
    radar = tiles(19)
    np.testing.assert_allclose(
        infer_batches(drawing, radar, drawing.batch), expected(radar), atol=1e-6
    )
    assert card.loaded == [Plan(8, 2), Plan(4), Plan(2)]
    assert card.drawn == [2] * 12  # 19 tiles are three batches, the last of them filled up
    assert reported == [
        "spade2: too little memory for batches of 8; continuing with 4",
        "spade2: too little memory for batches of 4; continuing with 2",
    ]
    assert (drawing.batch, drawing.plan) == (8, Plan(2))
    assert drawing.describe()["batch"] == 2


def test_room_that_goes_while_it_draws_costs_no_tile() -> None:
    card = Card(room=4)
    drawing = engine(card, Plan(4))
    radar = tiles(8)
    first = infer_batches(drawing, radar[:4], drawing.batch)
    card.room = 1
    second = infer_batches(drawing, radar[4:], drawing.batch)
    found = np.concatenate((first, second))
    np.testing.assert_allclose(found, expected(radar), atol=1e-6)
    assert card.drawn == [4, 1, 1, 1, 1]


@pytest.mark.parametrize(("batch", "parts"), [(6, [6, 3]), (9, [9, 3]), (7, [7, 1])])
def test_parts_are_of_equal_size(batch: int, parts: list[int]) -> None:
    card = Card(room=parts[-1])
    radar = tiles(batch)
    drawing = engine(card, Plan(batch))
    np.testing.assert_allclose(infer_batches(drawing, radar, batch), expected(radar), atol=1e-6)
    assert [plan.batch for plan in card.loaded] == parts


@pytest.mark.parametrize("name", ["card", "eager"])
def test_a_single_tile_that_does_not_fit_is_refused(name: str) -> None:
    drawing = engine(Card(room=0), Plan(4), name=name)
    with pytest.raises(
        InputError, match="a small card: has too little memory for one tile of 8x8"
    ) as caught:
        infer_batches(drawing, tiles(4), 4)
    assert caught.value.exit_code == 3
    assert ("--backend eager" in caught.value.remedy) == (name != "eager")


@pytest.mark.parametrize("shape", [(3, 2, 8, 8), (4, 3, 8, 8), (4, 2, 8, 9), (2, 8, 8)])
def test_a_batch_of_a_wrong_shape_is_named(shape: tuple[int, ...]) -> None:
    card = Card(room=8)
    with pytest.raises(AssertionError, match=r"spade2: accepts batches of \[4, 2, 8, 8\], not of"):
        engine(card, Plan(4))(torch.zeros(shape))
    assert not card.loaded


def test_what_a_failed_call_held_is_free_before_the_next_is_tried() -> None:
    alive = 0

    class Held:
        def __init__(self) -> None:
            nonlocal alive
            alive += 1

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    class Tight(Card):
        def check(self, tiles: int) -> None:
            held = Held()
            assert alive == 1
            super().check(tiles)
            del held

    drawing = engine(Tight(room=1), Plan(4))
    assert len(infer_batches(drawing, tiles(4), 4)) == 4


def test_released_it_runs_as_it_was_measured() -> None:
    card = Card(room=2)
    drawing = engine(card, Plan(4))
    drawing(torch.zeros(4, 2, SIDE, SIDE))
    assert drawing.plan == Plan(2)
    card.room = 4  # another program has ended
    drawing.release()
    drawing(torch.zeros(4, 2, SIDE, SIDE))
    assert card.loaded[-1] == drawing.plan == Plan(4)


def test_another_error_is_no_reason_for_smaller_batches() -> None:
    card = Card(room=2, error=RuntimeError)
    with pytest.raises(RuntimeError, match="no room"):
        infer_batches(engine(card, Plan(4)), tiles(4), 4)
    assert len(card.loaded) == 1
