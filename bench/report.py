"""What the benchmarks say: a table on the screen, and the same rows in a file."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.cli import console


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
    script.with_suffix(".json").write_text(json.dumps(rows, indent=2) + "\n")
