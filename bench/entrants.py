"""One row of the table of accuracy: a peer or the kit learns, predicts, and is scored.

In: a case, the name of a row, CPU seconds, a seed. Out: for each of the images that come out of it
an archive, and the errors of every scene in it, as `kit score` measures them; in a process of its
own with one thread, whose CPU time is measured.

    python bench/entrants.py CASE ROW OUT.json --seconds 75 [--seed 0]
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import RULE, Case
from numpy.typing import NDArray
from peers import CONSTANTS, PEERS, REVISITS, STRETCHED_COLOR, Peer

import kit
from kit.anchors import anchor
from kit.archive.layout import LAYOUTS, name_images
from kit.archive.mapping import scene_in
from kit.archive.reader import open_archive, read_contents, read_image
from kit.archive.writer import write_zip
from kit.engines.request import Request
from kit.scaling import quantize
from kit.storage.files import write_json
from kit.tiles.tiff import encode_tiff
from kit.variants.settings import FITTED, Variant, as_fold

KIT = "kit"
SERVER = "kit for the server"
"""Its ensemble for the server's measure, of members that learn the server's space."""
LAYOUT = LAYOUTS["plain"]
EAGER = Request(backend="eager")  # building engines would take longer than what they save
EVERY_PEER: dict[str, Peer] = {**CONSTANTS, **PEERS, **REVISITS}


@dataclass(frozen=True, slots=True)
class Member:
    """A variant of the kit's ensemble, its settings, and its share of the CPU time.

    Trees take what they take, which their share allows for.
    """

    name: str
    share: float
    settings: dict[str, Any]


# Half a minute is too short for the width of the rows.
SMALL = {"width": 8, "crop": 96, "validations": 4}
MEMBERS = {
    KIT: (
        Member("trees1", 0.1, {}),
        Member("unet2", 0.45, SMALL),
        Member("nafnet2", 0.45, SMALL),
    ),
    SERVER: (
        Member("trees1m", 0.1, {}),
        Member("unet2m", 0.45, SMALL),
        Member("nafnet2m", 0.45, SMALL),
    ),
}
FOLDS, FLIPS = 5, 8
FOLDS_SHARE = 0.5
"""Of a member's CPU time: its folds, by which it is fitted; the run of all pairs has the rest."""
MEASURES = {KIT: "mae", SERVER: "official_2022"}


@dataclass(frozen=True, slots=True)
class Entry:
    """Images under one label: their archive, and the CPU seconds that they cost."""

    label: str
    archive: Path
    cpu: float
    stretched: bool = False
    """Whether the images are in the server's own space."""


def main(given: Sequence[str] | None = None) -> None:
    """Make one row, and write what it errs."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("case", type=Path)
    arguments.add_argument("row")
    arguments.add_argument("out", type=Path, help="the JSON to write; what is made lies beside it")
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args(given)
    torch.set_num_threads(1)
    case = Case(chosen.case.name, chosen.case)
    made = chosen.out.with_suffix("")
    made.mkdir(parents=True, exist_ok=True)
    make = enter_kit if chosen.row in MEMBERS else enter_peer
    entries = make(case, chosen.row, chosen.seconds, chosen.seed, made)
    write_json(chosen.out, [_errors(entry, case.truth) for entry in entries])


def enter_peer(case: Case, row: str, seconds: float, seed: int, out: Path) -> list[Entry]:
    """What a peer makes; learning and predicting count."""
    known, (names, asked) = case.known(), case.asked()
    with _measured() as cpu:
        found = EVERY_PEER[row](known, asked, seconds, seed)
    entries: list[Entry] = []
    for what, images in found.items():
        archive = out / f"{len(entries)}.zip"
        _write(archive, dict(zip(names, quantize(images), strict=True)))
        entries.append(Entry(row + what, archive, cpu(), stretched=row == STRETCHED_COLOR))
    return entries


def enter_kit(case: Case, row: str, seconds: float, seed: int, out: Path) -> list[Entry]:
    """What the kit makes of each member, of their mean, and of what is fitted to them.

    Its ensembles are fitted on what no member has seen: new places, by folds, after which members
    are trained on all pairs; or, where places recur and members are given their other dates, a
    hold-out of dates.
    """
    at, seen = _Folders(out), bool(case.seen())
    if seen:
        kit.prepare(case.train, at.work, rule=RULE, split_by="dates")
    else:
        kit.prepare(case.train, at.work, rule=RULE, holdout=0)
    groups = case.groups if case.groups.exists() else None
    more = {"seed": seed, "prior": seen}
    members = [replace(each, settings=each.settings | more) for each in MEMBERS[row]]
    spent = {}
    for each in members:
        own = each.share * seconds
        if not seen:
            spent[each.name] = _train(each, FOLDS_SHARE * own, FOLDS, groups, at)
            own *= 1 - FOLDS_SHARE
        spent[each.name] = spent.get(each.name, 0) + _train(each, own, 1, None, at)
        spent[each.name] += _predict(case, each, at)
    total = sum(spent.values())
    mean = ",".join(spent)
    ensembles = {name: (name, cpu) for name, cpu in spent.items()} | {"mean": (mean, total)}
    with _measured() as cpu:
        kit.fit(
            tuple(spent), measure=MEASURES[row], name="fitted",
            work=at.work, runs=at.runs, ensembles=at.ensembles, overwrite=True,
        )  # fmt: skip
    ensembles["fitted"] = ("fitted", total + cpu())
    return [_image(row, name, *of, at) for name, of in ensembles.items()]


class _Folders:
    """Where the kit keeps what it makes."""

    def __init__(self, out: Path) -> None:
        names = ("work", "trials", "runs", "ensembles", "predictions", "engines", "submissions")
        self.work, self.trials, self.runs, self.ensembles, *rest = (out / name for name in names)
        self.predictions, self.engines, self.submissions = rest


def _train(member: Member, seconds: float, folds: int, groups: Path | None, at: _Folders) -> float:
    """Train a member, or all its folds, in `seconds` together; return the CPU seconds."""
    variant = kit.variant(member.name, **member.settings)
    if variant.model not in FITTED:
        variant = _fit_to(variant, seconds / folds, folds, groups, at)
    with _measured() as cpu:
        for fold in range(1, folds + 1):
            one = as_fold(variant, fold, folds)
            kit.train(one, work=at.work, runs=at.runs, groups=groups, workers=0)
    return cpu()


def _fit_to(
    variant: Variant, seconds: float, folds: int, groups: Path | None, at: _Folders
) -> Variant:
    """A variant, one fold of which is trained in about so many CPU seconds, by two short trainings.

    Their weights are thrown away, and their time does not count: what it costs to know the epochs
    beforehand is not what is compared.
    """

    def cost(epochs: int) -> float:
        short = replace(variant, epochs=epochs, decay_epochs=0, validations=1)
        with _measured() as cpu:
            kit.train(
                as_fold(short, 1, folds), work=at.work, runs=at.trials / str(epochs),
                groups=groups, overwrite=True, workers=0,
            )  # fmt: skip
        return cpu()

    cost(1)  # what is imported and compiled only once
    once, thrice = cost(1), cost(3)
    epochs = max(2, round((seconds - once) / max(1e-6, (thrice - once) / 2)) + 1)
    return replace(variant, epochs=epochs - epochs // 2, decay_epochs=epochs // 2)


def _predict(case: Case, member: Member, at: _Folders) -> float:
    """Predict the scenes of a case with all folds of a member; return the CPU seconds."""
    with _measured() as cpu:
        kit.predict(
            member.name, case.test, work=at.work, runs=at.runs, ensembles=at.ensembles,
            predictions=at.predictions, engines=at.engines, request=EAGER, flips=FLIPS,
        )  # fmt: skip
    return cpu()


def _image(row: str, label: str, ensemble: str, cpu: float, at: _Folders) -> Entry:
    """Package the predictions of an ensemble, whose members have predicted."""
    made = kit.package(
        ensemble=ensemble, name=label.replace(" ", "-"), layout=LAYOUT.name, runs=at.runs,
        ensembles=at.ensembles, predictions=at.predictions, submissions=at.submissions,
        overwrite=True,
    )  # fmt: skip
    return Entry(f"{row}, {label}", made.archive, cpu, stretched=row == SERVER)


def _write(archive: Path, images: dict[str, NDArray[np.uint16]]) -> None:
    """An archive of images by their scenes."""
    names = name_images(images, LAYOUT)
    with archive.open("wb") as file:
        write_zip(file, [([name], _encoder(images[scene])) for name, scene in names.items()])


def _encoder(image: NDArray[np.uint16]) -> Callable[[], bytes]:
    return lambda: encode_tiff(image)


def _errors(entry: Entry, truth: Path) -> dict[str, Any]:
    """MAE, MSE, and the stretched MSE without and with anchors, of each scene of an archive."""
    own, anchored = (_scored(path, truth) for path in (entry.archive, _anchored(entry.archive)))
    scenes = {scene: [*errors, anchored[scene][-1]] for scene, errors in own.items()}
    numbers = {"cpu": entry.cpu, "stretched": entry.stretched, "scenes": scenes}
    return {"label": entry.label} | numbers


def _scored(archive: Path, truth: Path) -> dict[str, list[float]]:
    report = kit.score(archive, truth, units="any", predictions=None)
    return {
        str(scene_in(image.submission)): [image.mae, image.mse, image.stretched_mse]
        for image in report.own_images()
    }


def _anchored(archive: Path) -> Path:
    """The same images with anchors, in an archive beside."""
    with open_archive(archive) as opened:
        names = read_contents(opened).images
        images = {name: anchor(read_image(opened, name).astype(np.uint16)) for name in names}
    beside = archive.with_name(f"{archive.stem}-anchored.zip")
    with beside.open("wb") as file:
        write_zip(file, [([name], _encoder(image)) for name, image in images.items()])
    return beside


@contextmanager
def _measured() -> Iterator[Callable[[], float]]:
    """The CPU seconds of this process since the beginning, and after the end until the end."""
    began, ended = time.process_time(), 0.0

    def cpu() -> float:
        return (ended or time.process_time()) - began

    yield cpu
    ended = time.process_time()


if __name__ == "__main__":
    main()
