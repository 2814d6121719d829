"""The list of what was left out, as a spreadsheet and a terminal may open it."""

import csv
from pathlib import Path

import pytest

from kit.tiles.rejection import Rejection, read_rejected, write_rejected


def test_names_are_text_to_a_spreadsheet_and_to_a_terminal(tmp_path: Path) -> None:
    rejected = [Rejection("=1+1.tiff", "name", "not a tile name"), Rejection("a\x1b[2J", "-", "b")]
    write_rejected(tmp_path / "rejected.csv", rejected)
    with (tmp_path / "rejected.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["'=1+1.tiff", "name", "not a tile name"], [r"a\x1b[2J", "'-", "b"]]


@pytest.mark.parametrize(
    "change", ["blank line", "longer row", "shorter row", "columns", "mark", "semicolons", "bytes"]
)
def test_a_list_that_people_have_changed_is_read_as_far_as_it_is_one(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "rejected.csv"
    rejected = (Rejection("=a.tiff", "name", "not a tile name"), Rejection("b", "-", "c, d"))
    write_rejected(path, rejected)
    text = path.read_text()
    expected: tuple[Rejection, ...] = rejected
    if change == "blank line":
        path.write_text(text.replace("\n", "\n\n"))
    elif change == "longer row":
        path.write_text(text.replace("a tile name", "a tile name,seen,twice"))
    elif change == "shorter row":
        path.write_text(f"{text}e\n")
        expected = (*rejected, Rejection("e", "", ""))
    elif change == "columns":
        path.write_text("my notes,kind,name\nlook,size,x\n")
        expected = (Rejection("x", "size", ""),)
    elif change == "mark":
        path.write_bytes(text.encode("utf-8-sig"))
    elif change == "semicolons":
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=";").writerows(csv.reader(text.splitlines()))
    else:
        path.write_bytes(text.encode() + b"\xff,name,bad\n")
        expected = (*rejected, Rejection("\ufffd", "name", "bad"))
    assert read_rejected(path) == expected


@pytest.mark.parametrize("content", [b"", b"\x00\xff\x13", b"notes of mine\n1\n"])
def test_another_list_has_nothing_that_was_left_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rejected.csv"
    assert read_rejected(path) == ()
    path.write_bytes(content)
    assert read_rejected(path) == ()
