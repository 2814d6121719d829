"""What the benchmarks say: a table on the screen, and the same rows in a file."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.cli import console
from kit.storage.files import write_json


def row(name: str, rate: float, unit: str, ratio: float, to: str) -> dict[str, Any]:
    """One line of the table and of the file."""
    return {"name": name, "rate": rate, "unit": unit, "ratio": ratio, "to": to}


def report(title: str, rows: Sequence[dict[str, Any]], script: Path, *, decimals: int) -> None:
    """Print the rows, and write them as JSON beside the script that measured them."""
    console.table(
        f"{title}, {time.strftime('%Y-%m-%d')}",
        ("what", "rate", "unit", "ratio", "to"),
        [(each["name"], f"{each['rate']:,.{decimals}f}", each["unit"], f"{each['ratio']:.2f}",
          each["to"]) for each in rows],
    )  # fmt: skip
    write_json(script.with_suffix(".json"), rows)


def bounds(drawn: NDArray[np.float64]) -> list[float]:
    """The bounds of the 95 % interval of what was drawn."""
    return [float(bound) for bound in np.quantile(drawn, (0.025, 0.975))]
