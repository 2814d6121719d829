"""`kit compete` beside the demo's recipe of version 0.1.0, in equal time on the made world.

The recipe is three trainings with settings that somebody chose, the mean of the three, and an
archive. The time that it takes on this machine is what `kit compete` gets, once for MAE and once
for the server's measure of 2022, each in a folder of its own. Every archive is scored against the
truth of the world. What is there already is not made again. A table goes to the screen, the same
rows to bench/evening.json.

    python bench/evening.py [--folder build/evening] [--least 240]
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.cli import console
from kit.storage.files import write_json

WORLD = "--places 48 --dates 2 --test-places 12"
# The Makefile of version 0.1.0: what it set for its demo, and its three trainings.
_NARROW = "--set width=8 --set discriminator_width=8 --set crop=128 --set batch=4"
_SHORT = f"{_NARROW} --set validations=2 --set lr=1e-3"
RECIPE = (
    "prepare ../world/train --holdout 6",
    f"train spade4 {_SHORT} --set epochs=3 --set decay_epochs=3",
    f"train spade2 {_SHORT} --set epochs=3 --set decay_epochs=3",
    f"train p2phd1 {_SHORT} --set epochs=5 --set decay_epochs=5 --set lr=4e-3",
    "validate",
    "predict --ensemble spade4,spade2,p2phd1 --input ../world/test",
    "package --name evening",
)
MEASURES = ("mae", "official_2022")


@dataclass(frozen=True, slots=True)
class Row:
    """An archive: who made it, in how many seconds, and its scores by the truth of the world."""

    name: str
    seconds: float
    mae: float
    official_2022: float


def main(given: Sequence[str] | None = None) -> None:
    """Make every archive that is not there yet, score them all, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/evening"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument(
        "--least", type=float, default=240, help="seconds that kit compete gets at least"
    )
    chosen = parser.parse_args(given)
    if not (chosen.folder / "world").exists():
        run(chosen.folder, f"simulate half {WORLD}")
        (chosen.folder / "half").rename(chosen.folder / "world")
    recipe = timed(chosen.folder / "recipe", RECIPE)
    rows = [scored("three trainings of 0.1.0, their mean", chosen.folder / "recipe", recipe)]
    hours = max(recipe, chosen.least) / 3600
    for measure in MEASURES:
        at = chosen.folder / f"compete-{measure}"
        line = f"compete ../world/train ../world/test --hours {hours:.4f} --name evening"
        took = timed(at, (f"{line} --measure {measure}",))
        rows.append(scored(f"kit compete --measure {measure}", at, took))
    show(rows)
    settings = {"date": time.strftime("%Y-%m-%d"), "world": WORLD}
    write_json(chosen.out, settings | {"rows": [asdict(row) for row in rows]})


def timed(folder: Path, lines: Sequence[str]) -> float:
    """The seconds of the commands in a folder; those of an earlier run if it has ended there."""
    took = folder / "seconds.json"
    if not took.exists():
        started = time.monotonic()
        for line in lines:
            run(folder, line)
        write_json(took, time.monotonic() - started)
    seconds: float = json.loads(took.read_text())
    return seconds


def scored(name: str, folder: Path, seconds: float) -> Row:
    """The row of the archive in a folder."""
    found = json.loads(run(folder, "score submissions/evening.zip ../world/truth --json"))
    return Row(name, round(seconds, 1), found["mae"], found["official_2022"])


def run(folder: Path, line: str) -> str:
    """Run a command of the kit in a folder; returns what it writes to stdout."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "kit", *line.split()]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def show(rows: Sequence[Row]) -> None:
    """Print the rows, each beside the first."""
    first = rows[0]
    cells = [
        (
            row.name,
            f"{row.seconds:.0f}",
            f"{row.mae:.5f}",
            f"{row.mae / first.mae:.3f}",
            f"{row.official_2022:.5f}",
            f"{row.official_2022 / first.official_2022:.3f}",
        )
        for row in rows
    ]
    titles = ("what", "seconds", "MAE", "of the first", "official 2022", "of the first")
    console.table("An evening", titles, cells)


if __name__ == "__main__":
    main()
