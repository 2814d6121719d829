"""Damaged and odd versions of a file, for readers that must name what is wrong or change nothing.

`KIT_MUTANTS=10000` makes more of them than the hundred of a short test.
"""

import os
from collections.abc import Iterator

import numpy as np

COUNT = int(os.environ.get("KIT_MUTANTS", "100"))

# Values of every kind, for a field of a JSON object.
VALUES = (
    None, True, 0, -1, 1.5, 2**53, 2**63, 2**64, 2**70, 10**12, 10**400, 1e300, float("nan"),
    float("inf"), "", "0", "text", "../..", "x" * 10**5, [], [[]], {}, {"a": 1}, [None],
)  # fmt: skip


def mutants(data: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Each with what was done to it: bits, bytes and stretches changed, lost, moved or repeated."""
    for number in range(count):
        random = np.random.default_rng((seed, number))
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
        yield f"{kind} of {number} at {start}", made
