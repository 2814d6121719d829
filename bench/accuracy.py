"""How good the images are: the kit beside what a competitor would write, at equal CPU time.

Every row learns and predicts in a process of its own with one thread; a network of a peer has
`--seconds` of CPU time, the kit's whole ensemble `--kit-seconds`. Real pairs are predicted in folds
by groups of their manifest, the simulated world at new places and at new dates of places that are
learnt from. What is chosen or fitted is chosen and fitted on what a row may learn from. Intervals
are those of a paired bootstrap over scenes. Rows that are there already are not made again. A table
goes to the screen, the same rows to bench/accuracy.json.

    python bench/accuracy.py [--data DIR --groups country,season] [--rows trees,kit]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, folds, world
from entrants import KIT, MEMBERS
from numpy.typing import NDArray
from peers import CONSTANTS, PEERS, REVISITS, STRETCHED_COLOR
from report import bounds

from kit.cli import console
from kit.errors import no_such
from kit.storage.files import write_json

HERE = Path(__file__).resolve().parent
DRAWS = 10_000
MAE, MSE, STRETCHED, ANCHORED = range(4)  # what there is for each scene
UNSEEN, SEEN = "unseen places", "unseen dates of seen places"

Errors = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """The errors [scenes, 4] of one entry, each the mean over seeds, and its CPU seconds."""

    label: str
    errors: Errors
    cpu: float
    stretched: bool = False
    """Whether the images are in the server's own space."""

    @property
    def psnr(self) -> Errors:
        """In dB, of each scene."""
        return -10 * np.log10(np.maximum(self.errors[:, MSE], 1e-12))


def main(given: Sequence[str] | None = None) -> None:
    """Make every row of every case that is not there yet, and report."""
    chosen = _arguments().parse_args(given)
    benchmarks: dict[str, list[Case]] = {}
    if chosen.data:
        columns, exclude = (_names(text) for text in (chosen.groups, chosen.exclude))
        at = chosen.folder / chosen.data.resolve().name
        benchmarks[at.name] = folds(at, chosen.data, columns, exclude, chosen.folds)
    if chosen.places:
        seeds = range(chosen.worlds)
        benchmarks["simulated world"] = [
            world(chosen.folder, seed, seen=seen, places=chosen.places, size=chosen.size)
            for seen in (False, True)
            for seed in seeds
        ]
    known = {**CONSTANTS, **PEERS, **REVISITS, **MEMBERS}
    names = _names(chosen.rows) or [*known]
    for unknown in set(names).difference(known):
        raise no_such("row", unknown, known)
    tables = {}
    for benchmark, cases in benchmarks.items():
        for kind, rows in gather(cases, names, chosen).items():
            title = f"{benchmark}, {kind}"
            tables[title] = compare(rows)
            show(f"{title}: {len(rows[0].errors)} scenes", tables[title])
    settings = {"seconds": chosen.seconds, "kit_seconds": chosen.kit_seconds, "seeds": chosen.seeds}
    write_json(chosen.out, {"date": time.strftime("%Y-%m-%d"), **settings, "tables": tables})


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="sent1/, sent2/ and manifest.csv of real pairs")
    parser.add_argument("--groups", default="", help="columns of the manifest that stay together")
    parser.add_argument("--exclude", default="", help="columns that leave a pair out if not 0")
    parser.add_argument("--folds", type=int, default=5, help="of the real pairs")
    parser.add_argument("--worlds", type=int, default=2, help="simulated, each of its own seed")
    parser.add_argument("--places", type=int, default=16, help="to learn from; 0 for no world")
    parser.add_argument("--size", type=int, default=128, help="pixels along a simulated tile")
    parser.add_argument("--seconds", type=float, default=75, help="CPU time of a peer's network")
    parser.add_argument("--kit-seconds", type=float, default=300, help="of the kit's ensemble")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row")
    parser.add_argument("--rows", default="", help="only these, with commas")
    parser.add_argument("--folder", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def gather(
    cases: Sequence[Case], names: Sequence[str], chosen: argparse.Namespace
) -> dict[str, list[Row]]:
    """The rows over all cases, for each kind of scenes that there is."""
    scenes: dict[str, list[tuple[int, str]]] = {UNSEEN: [], SEEN: []}
    found: dict[str, dict[tuple[int, str], list[list[float]]]] = {}
    cpu: dict[str, list[float]] = defaultdict(list)
    stretched = set()
    for number, case in enumerate(cases):
        seen = case.seen()
        for name in names:
            if name in REVISITS and not seen:
                continue
            for entry in _entries(case, name, chosen):
                of = found.setdefault(entry["label"], defaultdict(list))
                cpu[entry["label"]].append(entry["cpu"])
                if entry["stretched"]:
                    stretched.add(entry["label"])
                for scene, errors in entry["scenes"].items():
                    of[number, scene].append(errors)
        scenes[UNSEEN] += [(number, s) for s in case.asked()[0] if s not in seen]
        scenes[SEEN] += [(number, scene) for scene in sorted(seen)]
    return {
        kind: [
            Row(
                label,
                np.array([np.mean(of[key], axis=0) for key in keys]),
                float(np.mean(cpu[label])),
                label in stretched,
            )
            for label, of in found.items()
            if of.keys() >= set(keys)
        ]
        for kind, keys in scenes.items()
        if keys
    }


def _entries(case: Case, name: str, chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What a row makes of a case, with each seed; what is there already is read."""
    seconds = chosen.kit_seconds if name in MEMBERS else chosen.seconds
    for seed in range(chosen.seeds):
        out = case.folder / "rows" / f"{name}, {seconds:g} s, seed {seed}.json"
        if not out.exists():
            console.write(f"{case.name}: {name}, seed {seed}")
            command = [sys.executable, str(HERE / "entrants.py"), str(case.folder), name, str(out)]
            command += ["--seconds", str(seconds), "--seed", str(seed)]
            one = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run(command, env=os.environ | one, check=True)
        yield from json.loads(out.read_text())


def compare(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each row's means with their intervals, and its ratios to the best peer and to one colour.

    The best peer is that of the lowest MAE of all. Images of the server's own space are scored
    there alone.
    """
    peers = [row for row in rows if not row.label.startswith(KIT) and not row.stretched]
    best = min(peers, key=lambda row: row.errors[:, MAE].mean(), default=None)
    color = next((row for row in rows if row.label == STRETCHED_COLOR), None)
    scenes = len(rows[0].errors)
    draws = np.random.default_rng(0).integers(scenes, size=(DRAWS, scenes))
    found = []
    for row in rows:
        made: dict[str, Any] = {"row": row.label, "cpu": row.cpu}
        for name, column in (("official_2022", STRETCHED), ("anchored", ANCHORED)):
            made[name] = _mean(row.errors[:, column], draws)
        if color:
            made["of_one_color"] = _ratio(row.errors, color.errors, ANCHORED, draws)
        if not row.stretched:
            made["mae"], made["psnr"] = _mean(row.errors[:, MAE], draws), _mean(row.psnr, draws)
            if best:
                made["of_best_peer"] = _ratio(row.errors, best.errors, MAE, draws)
        found.append(made)
    return found


def _mean(values: Errors, draws: NDArray[np.int64]) -> list[float]:
    """The mean, and the bounds of its interval."""
    return [float(values.mean()), *bounds(values[draws].mean(axis=1))]


def _ratio(one: Errors, other: Errors, column: int, draws: NDArray[np.int64]) -> list[float]:
    """How the means of a column relate, and the bounds, the same scenes drawn of both."""
    drawn = [errors[:, column][draws].mean(axis=1) for errors in (one, other)]
    ratio = one[:, column].mean() / other[:, column].mean()
    return [float(ratio), *bounds(drawn[0] / drawn[1])]


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print a table; `of` is the ratio to the best peer, or to one colour, with its interval."""
    columns = ("mae", "of_best_peer", "psnr", "official_2022", "anchored", "of_one_color")
    cells = [
        (row["row"], *(_cell(row.get(name), name) for name in columns), f"{row['cpu']:.0f}")
        for row in rows
    ]
    heads = ("MAE", "of best peer", "PSNR", "official 2022", "anchored", "of one colour", "CPU s")
    console.table(title, ("row", *heads), cells)


def _cell(numbers: Sequence[float] | None, name: str) -> str:
    if numbers is None:
        return "-"
    if name.startswith("of_"):
        return "{:.3f} [{:.3f}, {:.3f}]".format(*numbers)
    return f"{numbers[0]:.2f}" if name == "psnr" else f"{numbers[0]:.4f}"


if __name__ == "__main__":
    main()
