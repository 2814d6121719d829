"""An archive -> a sheet: VV, VH, the images of members and of the archive with errors, the truth.

In: an archive with its manifest, its members' predictions, and what a report has loaded of the
truth. Out: an image file of scenes spread evenly, or of those with the largest errors. A
column whose files are no longer there is left out. The truth is as the server stretches it where
the archive is in its space; members keep their own, in errors too. An error map shows, for each
pixel, the mean absolute error of the three channels times `ERROR_GAIN`; white is `ERROR_FULL` and
more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from kit.archive.mapping import SarInput, scene_in
from kit.archive.reader import open_archive, read_contents, read_image, scale_problem, to_unit
from kit.figures.grid import write_grid
from kit.figures.heat import ERROR_FULL
from kit.metrics import psnr
from kit.scaling import scale_radar, stretch
from kit.scoring.images import CHANNELS, Image, ImageScore, read_truth, worst
from kit.scoring.provenance import find_provenance
from kit.scoring.report import Report
from kit.tiles.names import SceneKey
from kit.tiles.reader import read_scene
from kit.tiles.scenes import Scene

ROWS, CELL = 6, 160
ERROR_GAIN = 1 / ERROR_FULL


@dataclass(frozen=True, slots=True)
class Choice:
    """Which images a sheet shows, and how large.

    `worst_first` shows those of largest error by the report's measure rather than scenes spread
    evenly; `by_place` then the worst image of each place, places of largest mean error first.
    """

    rows: int = ROWS
    cell: int = CELL
    worst_first: bool = False
    by_place: bool = False


SPREAD = Choice()


def gallery(
    archive: Path, report: Report, path: Path, *, predictions: Path, choice: Choice = SPREAD
) -> Path:
    """Show some images of an archive that have a truth.

    Args:
        archive: a zip that `kit package` wrote.
        report: its scores, with the truths that they were measured by.
        path: the PNG or JPEG to write.
        predictions: where the members' predictions are.
        choice: which images, and how large.

    Raises:
        InputError: the archive or a truth cannot be read any more.
    """
    with open_archive(archive) as opened:
        names = read_contents(opened).images
        chosen = _chosen(report, choice)
        made_from = find_provenance(archive, names, predictions)
        manifest, members = made_from.manifest, made_from.members
        radars = made_from.radar_scenes()
        rows, labels = [], []
        for sar, name in chosen:
            key = manifest.scene(name)
            true = read_truth(sar.nearest(name), manifest.target)
            images: list[Image] = [member.load(str(key)) for member in members]
            images.append(read_image(opened, name)[:CHANNELS])
            # As the server sees them, where nobody knows what they are in.
            unscaled = any(map(scale_problem, images)) or bool(np.isnan(true.unit).any())
            of_members = true.stretched if unscaled else true.unit
            shown = true.stretched if manifest.space == "minmax" else of_members
            row = _radar(radars, key)
            for image, against in zip(images, [of_members] * len(members) + [shown], strict=True):
                seen = stretch(image) if unscaled else to_unit(name, image)
                row += [seen, _error_map(seen, against)]
            rows.append([*row, shown])
            labels.append(_label(sar, name, report))
    columns = ["VV", "VH"] if radars else []
    own = "ensemble" if manifest.members else archive.stem
    for title in (*(member.variant for member in members), own):
        columns += [title, f"error x {ERROR_GAIN:g}"]
    return write_grid(rows, [*columns, "truth"], labels, path, cell=choice.cell)


def _chosen(report: Report, choice: Choice) -> list[tuple[SarInput, str]]:
    inputs = report.inputs
    if not choice.worst_first:
        places = np.linspace(0, len(inputs) - 1, min(choice.rows, len(inputs)), dtype=int)
        return [(inputs[place], inputs[place].submissions[0]) for place in places]
    found = {(sar.name, name): sar for sar in inputs for name in sar.submissions}
    images = worst(report.own_images(), choice.rows, report.measure, by_place=choice.by_place)
    return [(found[image.scene, image.submission], image.submission) for image in images]


def _error_map(image: NDArray[np.float64], truth: NDArray[np.generic]) -> NDArray[np.float64]:
    if image.shape != truth.shape:  # of another size, which a report refuses
        return np.zeros((1, 1))
    errors: NDArray[np.float64] = np.abs(image - truth.astype(np.float64)).mean(axis=0)
    return errors * ERROR_GAIN


def _label(sar: SarInput, name: str, report: Report) -> str:
    key = scene_in(name)
    # Several images of one scene differ by what follows the date.
    lines = [str(key) if key and len(sar.submissions) == 1 else PurePosixPath(name).stem]
    truth = scene_in(sar.nearest(name).name)
    if truth:
        radar = scene_in(sar.name)
        away = f", {(truth.date - radar.date).days:+} days" if radar else ""
        lines.append(f"truth {truth.date}{away}")
    here = (sar.name, name)
    errors = [each for each in report.images if (each.scene, each.submission) == here]
    return "\n".join([*lines, *_error_lines(errors)])


def _error_lines(errors: Sequence[ImageScore]) -> list[str]:
    """The MAE of each member, and what the archive itself errs; its own row is the last."""
    *others, own = errors
    scored = [image for image in others if not np.isnan(image.mae)]  # not the server's space
    lines = [f"MAE {image.mae:.4f} {image.row}" for image in scored]
    title = f" {own.row.partition(' (')[0]}" if others else ""
    if not np.isnan(own.mae):
        lines += [f"MAE {own.mae:.4f}{title}", f"PSNR {psnr(own.mse):.2f} dB"]
    return [*lines, f"stretched MSE {own.stretched_mse:.4f}"]


def _radar(radars: dict[SceneKey, Scene], key: SceneKey | None) -> list[NDArray[np.generic]]:
    if not radars:
        return []
    if key not in radars:
        return [np.zeros((1, 1)), np.zeros((1, 1))]
    return [*scale_radar(read_scene("Sentinel1", radars[key].files))]
