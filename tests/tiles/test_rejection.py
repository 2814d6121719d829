"""The list of what was left out, as a spreadsheet and a terminal may open it."""

import csv
from pathlib import Path

from kit.tiles.rejection import Rejection, write_rejected


def test_names_are_text_to_a_spreadsheet_and_to_a_terminal(tmp_path: Path) -> None:
    rejected = [Rejection("=1+1.tiff", "name", "not a tile name"), Rejection("a\x1b[2J", "-", "b")]
    write_rejected(tmp_path / "rejected.csv", rejected)
    with (tmp_path / "rejected.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["'=1+1.tiff", "name", "not a tile name"], [r"a\x1b[2J", "'-", "b"]]
