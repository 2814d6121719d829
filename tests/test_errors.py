"""Errors say what is wrong in a few lines, whatever they quote."""

from kit.errors import InputError


def test_a_long_problem_keeps_its_beginning_and_its_end() -> None:
    error = InputError(
        "a.json", f"its name is {'x' * 10**5}, which is none", remedy="make it again"
    )
    assert len(str(error)) < 700
    assert str(error).startswith("a.json: its name is xxx")
    assert str(error).endswith("xxx, which is none\n  make it again")
    assert InputError("a", "is 3").problem == "is 3"
