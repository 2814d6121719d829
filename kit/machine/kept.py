"""What was measured of this machine, kept in the user's cache folder with the machine's name.

In: numbers. Out: the same numbers in later processes, so that what depends on them does not change
from one to the next.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from kit.machine.home import home
from kit.storage.files import json_sha256, make_folder
from kit.storage.seal import read_record, write_record

_MACHINE = "machine"


def machine() -> str:
    """The name that numbers are kept under: the processor, what torch uses of it, and torch."""
    about: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    kind, level = about.get("cpu_name", "CPU"), torch.backends.cpu.get_cpu_capability()
    return f"{kind}, {level}, torch {torch.__version__}"


def kept_at(what: str) -> Path:
    """The file that the numbers called `what` are kept in."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache")
    return folder / "sar-to-optical-kit" / f"{what}-{json_sha256(machine())[:12]}.json"


def read_kept(what: str, format: int, names: tuple[str, ...]) -> tuple[float, ...] | None:
    """The numbers of these names, all above 0; None if they are not there or cannot be read."""
    try:
        record = read_record(kept_at(what), format, "it is measured again")
        found = tuple(float(record[name]) for name in names)
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return found if record.get(_MACHINE) == machine() and min(found) > 0 else None


def keep(what: str, format: int, numbers: Mapping[str, float]) -> None:
    """Keep numbers; where that is not possible, the next process measures again."""
    with suppress(OSError):
        make_folder(kept_at(what).parent)
        write_record(kept_at(what), format, {_MACHINE: machine(), **numbers})


@contextmanager
def one_core() -> Iterator[None]:
    """Have torch compute in one thread meanwhile, whose time no other program takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
