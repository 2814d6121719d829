"""Batches that are begun and fetched: on a processor at once, on a card two at a time.

A stand-in for the card notes what is asked of it, in order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import kit.prediction.predictor
from kit.engines.accuracy import REFERENCE
from kit.engines.backend import Plan, Spec
from kit.engines.cache import Measurement
from kit.engines.engine import Engine
from kit.errors import CheckError
from kit.models.flips import FLIPS, average_views
from kit.models.infer import infer_batches
from kit.prediction.batches import Batches
from kit.prediction.pipeline import Input, Reading
from kit.prediction.predictor import OnCard, OnProcessor, Planes
from kit.runs.weights import Weights
from kit.scaling import quantize
from kit.tiles.scenes import Scene
from kit.variants.registry import find_variant
from tests.helpers import tiles

SIDE = 8
SCENE = Scene("Sentinel1", tiles.key(), ())


def batch(number: int, count: int = 2) -> Planes:
    random = np.random.default_rng(number)
    return [random.random((2, SIDE, SIDE), dtype=np.float32) for _ in range(count)]


def network(signed: Tensor) -> Tensor:
    return torch.cat([signed, signed[:, :1].roll(1, 3)], dim=1) * 1.2


def expected(planes: Planes, flips: int = 1) -> NDArray[np.uint16]:
    """In numpy, but for the network."""
    return quantize(
        average_views(lambda tiles: infer_batches(network, tiles, 2), np.stack(planes), flips)
    )


class Card:
    """What torch.cuda is asked for, `noted` in order; all of it is done at once, on the CPU."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.locked = 0
        self.current = "compute"
        names = iter(["up", "down"])
        card = self

        class Stream:
            def __init__(self, name: str = "") -> None:
                self.name = name or next(names)

            def wait_stream(self, other: "Stream") -> None:
                card.noted.append(f"{self.name} after {other.name}")

        class Event:
            def record(self) -> None:
                card.noted.append(f"mark on {card.current}")

            def synchronize(self) -> None:
                card.noted.append("wait")

        class Copies(TorchDispatchMode):
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
                if func is torch.ops.aten.copy_.default:
                    card.noted.append(f"copy on {card.current}")
                return func(*args, **(kwargs or {}))

        @contextmanager
        def stream(chosen: Stream) -> Iterator[None]:
            before, card.current = card.current, chosen.name
            with Copies():
                yield
            card.current = before

        compute = Stream("compute")
        self.parts = {
            "Stream": Stream,
            "Event": Event,
            "stream": stream,
            "current_stream": lambda: compute,
        }

    def page_locked(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        self.locked += 1
        return torch.empty(shape, dtype=kind)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    for name, part in made.parts.items():
        monkeypatch.setattr(torch.cuda, name, part)
    monkeypatch.setattr(kit.prediction.predictor, "_page_locked", made.page_locked)
    return made


@pytest.mark.parametrize("kind", [OnProcessor, OnCard])
@pytest.mark.parametrize("flips", FLIPS)
def test_images_are_those_of_numpy_to_the_last_bit(card: Card, kind: Any, flips: int) -> None:
    found = kind().begin(network, batch(0), flips)()
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected(batch(0), flips))


ONE_BATCH = [
    "compute after up",
    "network on compute",
    "down after compute",
    "copy on down",
    "copy on down",
    "mark on down",
]


def test_a_card_copies_beside_its_work_and_is_waited_for_once_a_batch(card: Card) -> None:
    def noted(planes: Tensor) -> Tensor:
        card.noted.append(f"network on {card.current}")
        return network(planes)

    predictor = OnCard()
    fetch = predictor.begin(noted, batch(0), 1)
    assert card.noted == ONE_BATCH
    second = predictor.begin(noted, batch(1), 1)
    np.testing.assert_array_equal(fetch(), expected(batch(0)))
    assert card.noted == [*ONE_BATCH, *ONE_BATCH, "wait"]
    np.testing.assert_array_equal(second(), expected(batch(1)))
    assert card.noted.count("wait") == 2


def test_page_locked_memory_is_used_again_once_its_batch_is_fetched(card: Card) -> None:
    predictor, begun, found = OnCard(), [], []
    for number in range(8):
        begun.append(predictor.begin(network, batch(number), 1))
        if len(begun) > predictor.ahead:
            found.append(begun.pop(0)())
    found += [fetch() for fetch in begun]
    for number, images in enumerate(found):
        np.testing.assert_array_equal(images, expected(batch(number)))
    assert card.locked == 2 * 3
    several = [
        predictor.begin(network, batch(number), 1) for number in range(4)
    ]  # none is fetched yet
    for number, fetch in enumerate(several):
        np.testing.assert_array_equal(fetch(), expected(batch(number)))
    np.testing.assert_array_equal(predictor.begin(network, batch(9, 3), 1)(), expected(batch(9, 3)))


def test_what_is_not_finite_is_found_on_both(card: Card) -> None:
    def broken(planes: Tensor) -> Tensor:
        images = network(planes)
        images[1, 2, 3, 4] = torch.nan
        return images

    assert OnProcessor().begin(broken, batch(0), 1)() is None
    assert OnCard().begin(broken, batch(0), 1)() is None


class Plain:
    """A backend whose network is `network`."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: name

    def load(self, *_: object) -> Any:
        return network


@pytest.mark.parametrize("kind", [OnProcessor, OnCard])
@pytest.mark.parametrize("scenes", [1, 4, 7])
def test_every_scene_comes_out_in_its_order(
    card: Card, monkeypatch: pytest.MonkeyPatch, kind: Any, scenes: int
) -> None:
    batches = batches_on(kind(), monkeypatch)
    given = [Input(planes, {}) for planes in batch(0, scenes)]
    readings = [Reading(SCENE, each.planes, at, np.zeros(7, int)) for at, each in enumerate(given)]
    done = []
    for at, (reading, each) in enumerate(zip(readings, given, strict=True), 1):
        done += batches.add(reading, each)
        assert len(done) == max(0, at // 2 - kind.ahead) * 2
    done += batches.flush()
    assert [reading for reading, _, _ in done] == readings
    found = np.stack([image for *_, image in done])
    np.testing.assert_array_equal(found, expected([each.planes for each in given]))
    assert not batches.flush()


def test_a_broken_network_is_named_when_its_images_are_fetched(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_on(OnCard(), monkeypatch)
    planes = np.full((2, SIDE, SIDE), np.nan, np.float32)
    reading = Reading(SCENE, planes, 0, np.zeros(7, int))
    for _ in range(2):
        assert not batches.add(reading, Input(planes, {}))
    with pytest.raises(CheckError, match="spade2: the generator's output is not finite"):
        batches.flush()


def batches_on(predictor: Any, monkeypatch: pytest.MonkeyPatch) -> Batches:
    monkeypatch.setattr("kit.prediction.batches.predictor", lambda: predictor)
    weights = Weights(Path(), find_variant("spade2"), {}, "", dict)
    batches = Batches(weights)
    measured = Measurement(Plan(2), 1.0, REFERENCE)
    spec, backend = Spec("float32", SIDE, SIDE), Plain()
    batches.engine = Engine("plain", backend, spec, Path(), measured, weights)  # type: ignore[arg-type]
    return batches
