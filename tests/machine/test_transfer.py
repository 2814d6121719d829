"""Copies to and from a card run beside what it computes: with stand-ins for a card."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import kit.machine.transfer
from kit.machine.transfer import Download, Uploads


class OnCard(torch.Tensor):
    """A tensor that says that it is on a card."""

    is_cuda = True


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done on a card, in order."""
    seen: list[str] = []
    current = SimpleNamespace(wait_stream=lambda stream: seen.append(f"current waits for {stream}"))

    class Event:
        def record(self) -> None:
            seen.append("event")

        def synchronize(self) -> None:
            seen.append("waits")

    @contextmanager
    def stream(which: str) -> Iterator[None]:
        seen.append(f"on {which}")
        yield
        seen.append(f"off {which}")

    def place(tensor: torch.Tensor) -> Any:
        seen.append("copies")

        def record_stream(on: object) -> None:
            assert on is current
            seen.append("kept")

        return SimpleNamespace(tensor=tensor, record_stream=record_stream)

    empty = torch.empty

    def pinned(*shape: Any, pin_memory: bool, **settings: Any) -> torch.Tensor:
        assert pin_memory
        seen.append("pinned")
        return empty(*shape, **settings)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(kit.machine.transfer, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(kit.machine.transfer, "place", place)
    for name, stand_in in (
        ("Stream", lambda: "side"),
        ("stream", stream),
        ("current_stream", lambda: current),
        ("Event", Event),
    ):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return seen


def test_a_batch_is_copied_on_a_stream_of_its_own_and_waited_for_by_the_device(events) -> None:
    batch = [torch.zeros(1), torch.ones(1)]
    placed: Any = Uploads()(batch)
    assert [each.tensor for each in placed] == batch
    copied = ["on side", "copies", "copies", "off side"]
    assert events == [*copied, "current waits for side", "kept", "kept"]


def test_numbers_are_waited_for_where_they_are_read(events) -> None:
    download = Download(torch.tensor([1.0, 2.5]).as_subclass(OnCard))
    assert events == ["pinned", "event"]
    assert download.numbers() == [1.0, 2.5]
    assert events == ["pinned", "event", "waits"]


def test_without_a_card_nothing_moves() -> None:
    values = torch.rand(3)
    assert Download(values).numbers() == values.tolist()
    (image,) = Uploads()([torch.rand(1, 2, 4, 4)])
    assert image.is_contiguous(memory_format=torch.channels_last)
