"""What `make soak` has done already, so that it goes on where it was stopped.

`build/soak/NAME.txt` has a line for each case that has passed, below the state of the source that
it passed on: another state begins anew.
"""

import functools
import hashlib
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
SOAK = os.environ.get("KIT_SOAK") == "1"
_SECONDS = 20
"""Between two lines that say what is left."""


def cases(name: str, every: Sequence[T], few: int, most: int | None = None) -> Iterator[T]:
    """A few of the cases, or under `make soak` all that have not passed yet, at most `most`.

    A case has passed when the next one is asked for.
    """
    chosen = random.Random(name).sample(
        every, min(len(every), (most if SOAK else few) or len(every))
    )
    if not SOAK:
        yield from chosen
        return
    path = ROOT / "build" / "soak" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = source_state()
    lines = path.read_text().splitlines() if path.exists() else []
    if lines[:1] != [state]:
        path.write_text(state + "\n")
        lines = []
    passed = {*lines[1:]}
    left = [case for case in chosen if repr(case) not in passed]
    told = -float("inf")
    for done, case in enumerate(left):
        if time.monotonic() > told + _SECONDS:
            told = time.monotonic()
            # Where tests run in several processes, theirs is the only output that is shown.
            message = f"soak: {name}: {len(left) - done} of {len(chosen)} cases to be done"
            print(message, file=sys.stderr, flush=True)
        yield case
        with path.open("a") as file:
            file.write(f"{case!r}\n")


@functools.cache
def source_state() -> str:
    """A digest of the kit's source."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "kit").rglob("*.py"), *(ROOT / "ext").glob("*.*")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
