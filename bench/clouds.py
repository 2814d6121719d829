"""What each way to choose Dataset-2 keeps, and what trees that learn from it err.

Every choice screens the same real pairs: the rule with its options, and a detector in its three
modes. Labels come from the manifest: of the scenes that a choice drops, precision is the share
that is flagged, and recall the share of the flagged scenes that it drops. Then the kit's trees
learn from each choice in folds by place, and are measured on the same clear scenes of the fold that
is held out, whatever a choice keeps of them; several divisions into folds say what chance does.
Training sets that are equal are fitted once. A table goes to the screen, and to bench/clouds.json.

    python bench/clouds.py DATA [--flags cloud_or_shadow,seasonal_snow] [--divisions 3]
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from cases import assign, read_manifest, row_key
from numpy.typing import NDArray
from report import bounds

import kit
from kit.cli import console
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import InputPlanes, read_pair
from kit.models.infer import infer
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.screening.detector import Detector
from kit.screening.rule import CloudRule
from kit.storage.files import write_json
from kit.training.fit_trees import fit_trees
from kit.variants.registry import VARIANTS

RULE, LARGE = CloudRule(), CloudRule(min_area=16)
CHOICES: dict[str, tuple[CloudRule, Detector | None]] = {
    "the rule": (RULE, None),
    "--min-area 16": (LARGE, None),
    "--detector-on passed": (RULE, Detector(on="passed")),
    "--detector-on dropped": (RULE, Detector(on="dropped")),
    "--detector-on all": (RULE, Detector(on="all")),
    "--min-area 16 --detector-on passed": (LARGE, Detector(on="passed")),
}
DRAWS = 10_000

Errors = dict[tuple[int, str], float]
"""The MAE of each scene in each division."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The pairs that a choice admits, of all that it could."""

    label: str
    kept: frozenset[str]

    def detection(self, every: Sequence[str], flagged: set[str]) -> tuple[float, float]:
        """Precision and recall of what it drops, for the flags of the manifest."""
        dropped = {scene for scene in every if scene not in self.kept}
        hits = len(dropped & flagged)
        return hits / max(len(dropped), 1), hits / max(len(flagged), 1)


def main(given: Sequence[str] | None = None) -> None:
    """Screen, fit, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="sent1/, sent2/ and manifest.csv of real pairs")
    parser.add_argument(
        "--flags",
        default="cloud_or_shadow",
        help="columns of which any says that a scene is flagged",
    )
    parser.add_argument(
        "--not-clear",
        default="cloud_or_shadow,seasonal_snow",
        help="columns of which none may be set where errors are measured",
    )
    parser.add_argument("--groups", default="country,season", help="columns that stay together")
    parser.add_argument("--divisions", type=int, default=3, help="into folds; 0 fits nothing")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = parser.parse_args(given)
    torch.set_num_threads(1)
    flags, not_clear, groups = (
        text.split(",") for text in (chosen.flags, chosen.not_clear, chosen.groups)
    )
    manifest = read_manifest(chosen.data / "manifest.csv", (*flags, *not_clear, *groups))
    with TemporaryDirectory() as folder:
        choices, pairs = screen(chosen.data, Path(folder))
    rows = {str(pair.optical): manifest[row_key(pair)] for pair in pairs}
    flagged = {s for s, row in rows.items() if any(row[name] == "1" for name in flags)}
    clear = {s for s, row in rows.items() if not any(row[name] == "1" for name in not_clear)}
    places = {s: " ".join(row[name] for name in groups) for s, row in rows.items()}
    errors: dict[str, Errors] = {choice.label: {} for choice in choices}
    for division in range(chosen.divisions):
        for number, held in enumerate(folds(places, chosen.folds, division)):
            console.write(
                f"division {division + 1}, fold {number + 1}: {len(held)} scenes held out"
            )
            for choice, found in fold_errors(choices, pairs, held, clear).items():
                errors[choice] |= {(division, scene): value for scene, value in found.items()}
    table = report(choices, [*rows], flagged, errors)
    settings = {"clear": len(clear), "divisions": chosen.divisions, "folds": chosen.folds}
    write_json(chosen.out, {"date": time.strftime("%Y-%m-%d"), **settings, "rows": table})


def screen(data: Path, work: Path) -> tuple[list[Choice], tuple[Pair, ...]]:
    """What each choice keeps, and all pairs."""
    choices = []
    pairs: tuple[Pair, ...] = ()
    for label, (rule, detector) in CHOICES.items():
        kit.prepare(data, work, rule=rule, detector=detector, holdout=0)
        pairs = read_pairs(work / PAIRS)
        choices.append(Choice(label, frozenset(str(p.optical) for p in pairs if p.dataset2)))
    dataset1 = frozenset(str(pair.optical) for pair in pairs if pair.dataset1)
    return [*choices, Choice("no screening: Dataset-1", dataset1)], pairs


def folds(places: dict[str, str], count: int, division: int) -> list[set[str]]:
    """The scenes that each fold holds out; every division deals the groups in another order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for scene, place in places.items():
        groups[place].append(scene)
    order = np.random.default_rng(division).permutation(sorted(groups)).tolist()
    names = {place: f"{number:04d}" for number, place in enumerate(order)}
    parts = assign({names[place]: len(scenes) for place, scenes in groups.items()}, count)
    held: list[set[str]] = [set() for _ in range(count)]
    for place, scenes in groups.items():
        held[parts[names[place]]].update(scenes)
    return held


def fold_errors(
    choices: Sequence[Choice], pairs: Sequence[Pair], held: set[str], clear: set[str]
) -> dict[str, dict[str, float]]:
    """For each choice the MAE of the clear scenes of a fold, by trees of the other folds."""
    asked = [pair for pair in pairs if str(pair.optical) in held & clear]
    fitted: dict[frozenset[str], dict[str, float]] = {}
    found = {}
    for choice in choices:
        learnt = choice.kept - held
        if learnt not in fitted:
            fitted[learnt] = trees([p for p in pairs if str(p.optical) in learnt], asked)
        found[choice.label] = fitted[learnt]
    return found


def trees(learnt: Sequence[Pair], asked: Sequence[Pair]) -> dict[str, float]:
    """The MAE of each scene that is asked for, by trees of those that are learnt from."""
    variant, reader = VARIANTS["trees1"], TilePairs()
    planes = InputPlanes(variant)
    generator, _ = fit_trees(PairDataset(planes, reader, learnt, crop=variant.crop))
    found = {}
    for pair in asked:
        inputs, optical = read_pair(planes, reader, pair)
        found[str(pair.optical)] = float(np.abs(infer(generator, inputs[None])[0] - optical).mean())
    return found


def report(
    choices: Sequence[Choice], every: Sequence[str], flagged: set[str], errors: dict[str, Errors]
) -> list[dict[str, Any]]:
    """Print the table; the ratio is to the MAE of the rule, with its interval over scenes."""
    table: list[dict[str, Any]] = []
    first = errors[choices[0].label]
    for choice in choices:
        precision, recall = choice.detection(every, flagged)
        row: dict[str, Any] = {"choice": choice.label, "kept": len(choice.kept)}
        row |= {"precision": precision, "recall": recall}
        if first:
            row["mae"] = float(np.mean([*errors[choice.label].values()]))
            row["of_the_rule"] = _ratio(errors[choice.label], first)
        table.append(row)
    cells = [
        (row["choice"], row["kept"], f"{row['precision']:.2f}", f"{row['recall']:.2f}", *_mae(row))
        for row in table
    ]
    columns = ("choice", "kept", "precision", "recall", "MAE", "of the rule's")
    console.table(f"{len(every)} scenes, {len(flagged)} of them flagged", columns, cells)
    return table


def _mae(row: dict[str, Any]) -> tuple[str, str]:
    if "mae" not in row:
        return "-", "-"
    return f"{row['mae']:.4f}", "{:.3f} [{:.3f}, {:.3f}]".format(*row["of_the_rule"])


def _ratio(one: Errors, other: Errors) -> list[float]:
    """The ratio of two means, and the bounds of its interval, scenes drawn with all divisions."""
    scenes = sorted({scene for _, scene in one})
    means = [
        np.array([np.mean([v for (_, s), v in errors.items() if s == scene]) for scene in scenes])
        for errors in (one, other)
    ]
    drawn = np.random.default_rng(0).integers(len(scenes), size=(DRAWS, len(scenes)))
    ratios: NDArray[np.float64] = means[0][drawn].mean(axis=1) / means[1][drawn].mean(axis=1)
    return [float(means[0].mean() / means[1].mean()), *bounds(ratios)]


if __name__ == "__main__":
    main()
