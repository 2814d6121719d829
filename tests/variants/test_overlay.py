"""A dataclass with some fields replaced, each of the type that it says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.errors import InputError
from kit.variants.overlay import from_toml, overlay


@dataclass(frozen=True)
class Thing:
    name: str = "thing"
    count: int = 1
    share: float = 0.5
    pair: tuple[float, float] = (0.0, 0.9)
    sides: tuple[int, ...] = (5, 15)


def test_values_take_the_place_of_the_base_and_the_rest_stays() -> None:
    changed = overlay(Thing(count=3), {"share": 2, "pair": [1, 0.5]}, "here")
    assert changed == Thing(count=3, share=2.0, pair=(1.0, 0.5))
    assert type(changed.share) is float and type(changed.pair[0]) is float


@pytest.mark.parametrize("sides", [[], [3], [7, 3, 31, 9]])
def test_a_tuple_of_any_length_takes_a_list_of_any_length(sides: list[int]) -> None:
    assert overlay(Thing(), {"sides": sides}, "here").sides == tuple(sides)
    assert overlay(Thing(), {"sides": tuple(sides)}, "here").sides == tuple(sides)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"shape": 1}, "here: no field called 'shape'\n.*name, count, share, pair, sides"),
        ({"count": 1.0}, "count is 1.0\n.*must be a whole number"),
        ({"count": True}, "count is True\n.*must be a whole number"),
        ({"name": 1}, "name is 1\n.*must be text"),
        ({"share": "much"}, "share is 'much'\n.*must be a number"),
        ({"pair": [1]}, r"pair is \[1\]\n.*write it as"),
        ({"pair": [1, "2"]}, "pair is"),
        ({"pair": 1}, "pair is"),
        ({"pair": [1, True]}, "pair is"),
        ({"pair": []}, r"pair is \[\]"),
        ({"sides": 5}, r"sides is 5\n.*write it as \[5, 15\]"),
        ({"sides": [5.0]}, r"sides is \[5\.0\]"),
        ({"sides": ["5"]}, "sides is"),
        ({"sides": [True]}, "sides is"),
        ({"sides": [2**65]}, "sides is a number of 66 bits"),
    ],
)
def test_values_of_another_type_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        overlay(Thing(), values, "here")


def test_a_file_is_named_for_itself_and_says_what_it_starts_from(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbfbase = "b"\ncount = 7\n')
    assert from_toml(path, {"a": Thing(), "b": Thing(share=0.1)}) == Thing("mine", 7, 0.1)
    path.write_text('base = "b"\nname = "other"\n')
    assert from_toml(path, {"b": Thing()}).name == "other"
    path.write_text('base = "c"\n')
    with pytest.raises(InputError, match=r"mine\.toml: base is 'c'\n.*one of a, b"):
        from_toml(path, {"a": Thing(), "b": Thing()})


def test_a_file_that_cannot_be_read_is_told_from_one_that_is_no_toml(tmp_path: Path) -> None:
    folder, table = tmp_path / "folder.toml", tmp_path / "table.toml"
    folder.mkdir()
    with pytest.raises(InputError, match=r"cannot be read .*directory") as told:
        from_toml(folder, {"a": Thing()})
    assert told.value.remedy == "give a TOML file that may be read"
    table.write_text("base = ")
    with pytest.raises(InputError, match="not readable as TOML") as told:
        from_toml(table, {"a": Thing()})
    assert told.value.remedy.startswith("write each field on a line of its own")
