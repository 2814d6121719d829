"""Text from outside, such as the name of a file, for a terminal and for a spreadsheet.

A terminal obeys control characters, which can clear it, rename its window or forge lines. A
spreadsheet runs a cell that begins like a formula.
"""

import re

# What begins a formula, or is skipped before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# Python's way of keeping the bytes of a name that is not UTF-8.
_BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}


def printable(text: object, *, lines: bool = False) -> str:
    """Text whose characters all print: others are spelt out, such as `\\x1b` for escape.

    Args:
        text: anything that has a text.
        lines: whether an end of a line may stay one.
    """
    plain = str(text)
    if lines and "\n" in plain:
        return "\n".join(map(printable, plain.split("\n")))
    if plain.isprintable():
        return plain
    return "".join(
        character if character.isprintable() else _spell(character) for character in plain
    )


def one_line(error: object, longest: int = 200) -> str:
    """What an error says, in one line of at most `longest` characters."""
    return " ".join(str(error).split())[:longest]


def duration(seconds: float) -> str:
    """A duration in the largest unit of which there are at least two."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def count_of(number: int, noun: str) -> str:
    """How many of what, such as `1 scene` and `2 scenes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def spreadsheet_cell(value: object) -> object:
    """A value as a CSV file holds it: text that a spreadsheet would run gets a `'` before it."""
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def from_spreadsheet_cell(text: str) -> str:
    """What `spreadsheet_cell` wrote, as it was before."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def _spell(character: str) -> str:
    return _BYTES.get(ord(character)) or repr(character)[1:-1]
