"""The mark of an unfinished world: damaged, of an earlier kit, or of other numbers."""

import json
from pathlib import Path

import pytest

from kit.errors import BusyError, InputError
from kit.simulation.progress import Progress
from kit.simulation.simulate import simulate
from kit.storage.files import write_json
from kit.tiles.unfinished import UNFINISHED
from kit.verification.verify import verify
from tests.helpers.sealed import rewrite

NUMBERS = {"places": 3, "test_places": 0, "dates": 1, "size": 32, "seed": 0}


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The mark of a world of three places, of which one is written."""
    Progress(tmp_path, NUMBERS, 3).add([1, 2, 10])
    return tmp_path / UNFINISHED


def test_what_to_go_on_with_is_as_typed(tmp_path: Path) -> None:
    numbers = {"places": 2, "seen_test_places": 1, "changing": True, "size": 32}
    write_json(tmp_path / UNFINISHED, {"numbers": numbers, "done": 0, "counts": [0, 0, 0]})
    with pytest.raises(BusyError, match=r"--places 2 --seen-test-places 1 --changing --size 32,"):
        simulate(tmp_path, places=1, size=32)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"numbers": 1, "done": 1, "counts": 2}'])
def test_a_damaged_mark_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / UNFINISHED).write_text(text)
    with pytest.raises(InputError, match=r"unfinished\.json(.|\n)*remove the folder"):
        simulate(tmp_path, places=1, size=32)


@pytest.mark.parametrize(
    "changes",
    [
        {"done": 4},
        {"done": -1},
        {"done": True},
        {"done": None},
        {"counts": 2},
        {"counts": [1, 2]},
        {"counts": [1, 2, -1]},
        {"counts": [1, 2, "3"]},
    ],
)
def test_counts_that_cannot_be_are_refused(mark: Path, changes: dict[str, object]) -> None:
    rewrite(mark, changes)
    with pytest.raises(InputError, match="its counts cannot be"):
        Progress(mark.parent, NUMBERS, 3)


@pytest.mark.slow
def test_a_flipped_bit_of_the_mark_leaves_no_hole(mark: Path) -> None:
    whole = mark.read_bytes()
    silent = []
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        mark.write_bytes(damaged)
        try:
            found = Progress(mark.parent, NUMBERS, 3)
        except InputError:
            assert verify([mark.parent]).damaged
            continue
        if (found.done, found.counts) != (1, [1, 2, 10]):
            silent.append(bit)
    assert silent == []


def test_a_mark_of_an_earlier_kit_has_no_checksum(mark: Path) -> None:
    record = json.loads(mark.read_text())
    write_json(mark, {name: record[name] for name in ("numbers", "done", "counts")})
    found = Progress(mark.parent, NUMBERS, 3)
    assert (found.done, found.counts) == (1, [1, 2, 10])
    assert verify([mark.parent]).unsealed == (mark,)
