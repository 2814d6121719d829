"""What is judged during a training: the hold-out, shared, for the weights that are kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from conftest import tiny

import kit.judge
import kit.validate
from kit.checkpoint import State
from kit.dataset import PairDataset
from kit.errors import InputError
from kit.group import Group, PeerError
from kit.judge import Judge
from kit.metrics import Scores
from kit.pairs import Pair, read_pairs, train_pairs
from kit.source import Source
from kit.validate import evaluate


class Threads(Group):
    """A group whose processes are threads."""

    __slots__ = ("meeting", "said")

    def __init__(self, rank: int, size: int, meeting: threading.Barrier, said: dict) -> None:
        super().__init__(rank, size)
        object.__setattr__(self, "meeting", meeting)
        object.__setattr__(self, "said", said)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        self.said[self.rank] = values
        self.meeting.wait(60)
        total = sum(self.said[rank] for rank in range(self.size))
        self.meeting.wait(60)
        return total


def table(work: Path) -> tuple[tuple[Pair, ...], PairDataset]:
    pairs = read_pairs(work / "pairs.parquet")
    chosen = train_pairs(pairs, 1)
    return chosen, PairDataset(Source(), chosen, crop=32, target="reflectance", seed=0)


def shared(
    size: int, judged: tuple[Pair, ...], dataset: PairDataset, state: State, told: int = -1
) -> list:
    """What each of `size` processes finds, or what it ends with; one is told to stop."""
    meeting, said = threading.Barrier(size), {}

    def one(rank: int) -> Scores | BaseException:
        group = Threads(rank, size, meeting, said)
        judge = Judge(tiny("p2phd1"), dataset, judged, Path("run"), group)
        try:
            return judge._scores(state.generator, [15] * (rank == told))
        except (InputError, PeerError, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_shared_hold_out_gives_the_same_figures(trained: Path, monkeypatch, size: int) -> None:
    monkeypatch.setattr(kit.validate, "BATCH", 5)
    judged, dataset = table(Path("work"))
    state = State.new(tiny("p2phd1"))
    expected = evaluate(state.generator, Source(), judged, "reflectance")
    drawn = []
    whole = kit.judge.errors
    monkeypatch.setattr(
        kit.judge, "errors", lambda *rest: (drawn.append(len(rest[2])), whole(*rest))[1]
    )
    assert shared(size, judged, dataset, state) == [expected] * size
    assert sum(drawn) == len(judged) == 24


def test_a_tile_that_one_of_them_cannot_read_ends_all(trained: Path, monkeypatch) -> None:
    monkeypatch.setattr(kit.validate, "BATCH", 5)
    judged, dataset = table(Path("work"))
    whole = kit.judge.errors

    def errors(generator, source, part, target):
        if judged[7] in part:
            raise InputError("tile.tiff", "is gone")
        return whole(generator, source, part, target)

    monkeypatch.setattr(kit.judge, "errors", errors)
    ends = shared(2, judged, dataset, State.new(tiny("p2phd1")))
    assert isinstance(ends[0], PeerError) and ends[0].exit_code == InputError.exit_code
    assert "tile.tiff" in str(ends[1])


def test_a_signal_to_one_of_them_stops_all(trained: Path) -> None:
    judged, dataset = table(Path("work"))
    ends = shared(2, judged, dataset, State.new(tiny("p2phd1")), told=1)
    assert [type(end) for end in ends] == [KeyboardInterrupt] * 2
