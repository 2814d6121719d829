"""An archive -> a sheet of its images: rows of VV, VH, each member, the archive and the truth.

In: an archive with its manifest, its members' predictions, and the truth, or what a report has
loaded of it. Out: a PNG of scenes spread evenly, or of those with the largest errors. A column
whose files are no longer there is left out.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from kit.archive.mapping import SarInput, scene_in
from kit.archive.reader import open_archive, read_contents, read_image, to_unit
from kit.figures.grid import write_grid
from kit.metrics import psnr
from kit.scaling import scale_radar
from kit.scoring.images import ImageScore, read_truth, worst
from kit.scoring.provenance import find_provenance
from kit.scoring.truth import load_truth
from kit.tiles.names import SceneKey
from kit.tiles.reader import read_scene
from kit.tiles.scenes import Scene

ROWS = 6


def gallery(
    archive: Path,
    truth: Path | Sequence[SarInput],
    path: Path,
    *,
    predictions: Path,
    window_days: int = 7,
    images: Sequence[ImageScore] = (),
    worst_first: bool = False,
) -> Path:
    """Show up to `ROWS` images of an archive that have a truth.

    Args:
        archive: a zip that `kit package` wrote.
        truth: what `kit.scoring.truth.load_truth` takes, or `Report.inputs`, so that nothing is
            looked through for clouds twice.
        path: the PNG to write.
        predictions: where the members' predictions are.
        window_days: how far a truth may be from the radar date.
        images: the errors of the archive's own images, for the labels: `Report.own_images()`.
        worst_first: show those of largest MAE among `images`, worst first, rather than scenes
            spread evenly.

    Raises:
        InputError: the archive or the truth is not usable.
    """
    with open_archive(archive) as opened:
        names = read_contents(opened).images
        found = load_truth(truth, names, window_days).inputs if isinstance(truth, Path) else truth
        chosen = _worst(found, images) if worst_first else _spread(found)
        made_from = find_provenance(archive, names, predictions)
        manifest, members = made_from.manifest, made_from.members
        radars = made_from.radar_scenes()
        rows, labels = [], []
        errors = {(image.scene, image.submission): image for image in images}
        for sar, name in chosen:
            key = manifest.scene(name)
            row = _radar(radars, key)
            row += [to_unit(name, member.load(str(key))) for member in members]
            row.append(to_unit(name, read_image(opened, name)))
            row.append(read_truth(sar.nearest(name), manifest.target).unit)
            rows.append(row)
            labels.append(_label(sar, name, errors.get((sar.name, name))))
    columns = ["VV", "VH"] if radars else []
    columns += [member.variant for member in members]
    columns += ["ensemble" if manifest.members else archive.stem, "truth"]
    return write_grid(rows, columns, labels, path)


def _spread(inputs: Sequence[SarInput]) -> list[tuple[SarInput, str]]:
    places = np.linspace(0, len(inputs) - 1, min(ROWS, len(inputs)), dtype=int)
    return [(inputs[place], inputs[place].submissions[0]) for place in places]


def _worst(inputs: Sequence[SarInput], images: Sequence[ImageScore]) -> list[tuple[SarInput, str]]:
    places = {(sar.name, name): sar for sar in inputs for name in sar.submissions}
    chosen = worst(images, ROWS)
    return [(places[image.scene, image.submission], image.submission) for image in chosen]


def _label(sar: SarInput, name: str, image: ImageScore | None) -> str:
    key = scene_in(name)
    # Several images of one scene differ by what follows the date.
    title = str(key) if key and len(sar.submissions) == 1 else PurePosixPath(name).stem
    if image is None:
        return title
    errors = f"MAE {image.mae:.4f}\nPSNR {psnr(image.mse):.2f} dB"
    return f"{title}\n{errors}\nstretched MSE {image.stretched_mse:.4f}"


def _radar(radars: dict[SceneKey, Scene], key: SceneKey | None) -> list[NDArray[np.generic]]:
    if not radars:
        return []
    if key not in radars:
        return [np.zeros((1, 1)), np.zeros((1, 1))]
    return [*scale_radar(read_scene("Sentinel1", radars[key].files))]
