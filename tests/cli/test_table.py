"""Tables on narrow terminals: words are folded, numbers never."""

import pytest
from rich.console import Console

from kit.cli.table import fitted_table

TITLES = ("variant", "state", "step", "of", "images/s", "left", "best MAE", "at step")
ROWS = [
    ("spade4", "training (process 123 on node-17)", "12345", "99900", "123.4", "12.5 h", "0.02194",
     "11000"),
    ("mine-with-a-name-of-more-than-thirty-letters", "stopped", "7", "", "", "", "", ""),
]  # fmt: skip


def shown(width: int, titles=TITLES, rows=ROWS) -> list[str]:
    console = Console(width=width, soft_wrap=True, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(fitted_table("Runs", titles, rows, width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_numbers_are_intact_and_lines_fit(width: int) -> None:
    lines = shown(width)
    assert max(map(len, lines)) <= width
    words = {word.strip("()") for line in lines for word in line.replace("│", " ").split()}
    assert {"spade4", "12345", "99900", "123.4", "12.5", "0.02194", "11000", "123"} <= words


def test_a_table_is_a_grid_where_it_can_be_and_a_list_below() -> None:
    assert any("┃" in line for line in shown(100))
    lines = shown(40)
    assert not any("┃" in line for line in lines) and "best MAE: 0.02194" in lines


def test_numbers_are_to_the_right_and_nothing_of_a_cell_is_lost() -> None:
    lines = shown(80, ("", "why"), [("1", "a" * 200), ("12,345", "short words " * 20)])
    assert any(line.startswith("│      1 │") for line in lines)
    assert "".join(lines).count("a") == 200 and "".join(lines).count("short") == 20


def test_a_table_without_rows_has_its_titles() -> None:
    assert any("images/s" in line for line in shown(100, rows=[]))
