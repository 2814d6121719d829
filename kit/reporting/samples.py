"""The samples of each run, to be flipped through by epoch."""

import re
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from kit.figures.grid import Grid, read_grid
from kit.reporting.artefacts import Artefacts
from kit.reporting.blocks import Block, Flip, FlipRow, Flips, Picture, Section, Text
from kit.reporting.picture import uri
from kit.reporting.training_time import RunHistory
from kit.runs.folder import SAMPLES

_MOST_RUNS, _MOST_EPOCHS = 12, 10
_PREDICTED = 2  # the column, after VV and VH
_WIDEST = 960  # pixels of a grid of an earlier kit, which is shown as one image


def samples(found: Artefacts) -> Section | None:
    """The best runs, each with some of its epochs; None without samples."""
    best = sorted(found.runs, key=lambda run: (run.status.mae is None, run.status.mae or 0))
    order: dict[str, RunHistory] = {}
    for run in best:
        order.setdefault(run.base_name, run)  # of folds the best one
    flips: list[Flip] = []
    left = []
    for run in order.values():
        paths = sorted((found.folders.runs / run.name / SAMPLES).glob("epoch-*.png"))
        if not paths:
            continue
        if len(flips) == _MOST_RUNS:
            left.append(run.name)
        elif flip := _flip(found, run.name, paths):
            flips.append(flip)
    if not flips:
        return None
    blocks: list[Block] = [Flips(tuple(flips))]
    if left:
        blocks.append(Text(f"Not shown, as others score better: {', '.join(left)}."))
    lead = "The same scenes of the hold-out at each epoch: choose one, or use the arrow keys."
    return Section("samples", "Samples by epoch", "Samples", lead, tuple(blocks))


def _flip(found: Artefacts, run: str, paths: list[Path]) -> Flip | None:
    chosen = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, _MOST_EPOCHS, dtype=int))]
    labels = [re.sub(r"\D*0*(\d+)\D*", r"\1", path.stem) for path in chosen]
    grids = [found.attempt(partial(read_grid, path), None) for path in chosen]
    known = [(label, grid) for label, grid in zip(labels, grids, strict=True) if grid]
    if known:
        names, found_grids = zip(*known, strict=True)
        return _of_grids(run, names, found_grids)
    # Grids of an earlier kit do not say where their images are.
    whole = []
    for label, path in zip(labels, chosen, strict=True):
        try:
            with Image.open(path) as image:
                image.thumbnail((_WIDEST, _WIDEST))
                whole.append((label, uri(image)))
        except (OSError, SyntaxError, ValueError):
            continue
    if not whole:
        return None
    frames = tuple(Picture(each, f"samples of {run}, epoch {label}") for label, each in whole)
    rows = (FlipRow("", (), frames, ()),)
    return Flip(f"flip-{run}", run, tuple(label for label, _ in whole), ("",), rows)


def _of_grids(run: str, labels: tuple[str, ...], grids: tuple[Grid, ...]) -> Flip:
    last = grids[-1]
    columns = (*last.columns[:_PREDICTED], "prediction", *last.columns[_PREDICTED + 1 :])
    rows = []
    for number, label in enumerate(last.labels):
        scene, _, _ = label.partition("\n")
        frames = []
        for epoch, grid in zip(labels, grids, strict=True):
            if number < len(grid.rows):
                _, _, score = grid.labels[number].partition("\n")
                image = uri(grid.rows[number][_PREDICTED])
                frames.append(Picture(image, f"{run}, epoch {epoch}, {scene}", score))
        stay = [
            Picture(uri(image), f"{title} of {scene}")
            for title, image in zip(last.columns, last.rows[number], strict=True)
        ]
        if len(frames) == len(grids):
            before, after = stay[:_PREDICTED], stay[_PREDICTED + 1 :]
            rows.append(FlipRow(scene, tuple(before), tuple(frames), tuple(after)))
    return Flip(f"flip-{run}", run, labels, columns, tuple(rows))
