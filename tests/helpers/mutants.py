"""Damaged and odd versions of files, whose readers name what is wrong or are not misled."""

import numpy as np

MUTANTS = range(10_000)
"""The numbers of those that `make soak` tries; other tests try some of them."""

# Values of every kind, for a field of a JSON object.
VALUES = (
    None, True, 0, -1, 1.5, 2**53, 2**63, 2**64, 2**70, 10**12, 10**400, 1e300, float("nan"),
    float("inf"), "", "0", "text", "../..", "x" * 10**5, [], [[]], {}, {"a": 1}, [None],
)  # fmt: skip


def mutant(data: bytes, number: int) -> tuple[str, bytes]:
    """What was done to it, and the result: bits or stretches changed, lost, moved or repeated."""
    random = np.random.default_rng(number)
    kind = ("bit", "byte", "zeros", "cut", "lost", "twice", "swapped", "noise", "digits")[
        number % 9
    ]
    # Half of them in the first kilobyte, where headers are.
    reach = len(data) if number % 2 else min(len(data), 1024)
    start = int(random.integers(reach))
    stop = min(len(data), start + int(random.integers(1, 200)))
    piece = data[start:stop]
    if kind == "bit":
        changed = bytes([data[start] ^ 1 << int(random.integers(8))])
        made = data[:start] + changed + data[start + 1 :]
    elif kind == "byte":
        made = data[:start] + bytes([int(random.integers(256))]) + data[start + 1 :]
    elif kind == "zeros":
        made = data[:start] + bytes(len(piece)) + data[stop:]
    elif kind == "cut":
        made = data[:start]
    elif kind == "lost":
        made = data[:start] + data[stop:]
    elif kind == "twice":
        made = data[:stop] + piece + data[stop:]
    elif kind == "swapped":
        rest = data[stop : stop + len(piece)]
        made = data[:start] + rest + piece + data[stop + len(rest) :]
    elif kind == "noise":
        made = data[:start] + random.bytes(len(piece)) + data[stop:]
    else:
        digits = bytes(random.integers(48, 58) if 48 <= each <= 57 else each for each in piece)
        made = data[:start] + digits + data[stop:]
    return f"{kind} of {number} at {start}", made
