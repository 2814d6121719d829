"""An archive -> a picture of it: rows of VV, VH, each member, the archive itself, and the truth.

In: an archive with its manifest, its members' predictions, and the truth. Out: a PNG. A column
whose files are no longer there is left out.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.archive import image_names, open_archive, read_image, to_unit
from kit.catalog import Scene, catalog
from kit.dataset import scale_radar
from kit.ensemble import Member
from kit.score import current, ensemble_label, read_manifest, read_truth
from kit.sheet import sheet
from kit.tiles import SceneKey, read_scene
from kit.truth import load_truth, scene_in

ROWS = 6


def gallery(
    archive: Path, truth: Path, path: Path, *, predictions: Path, window_days: int = 7
) -> Path:
    """Draw up to `ROWS` scenes of an archive, spread evenly over those that have a truth.

    Args:
        archive: a zip that `kit package` wrote.
        truth: a folder of Sentinel-2 tiles, or the server's JSON mapping.
        path: the PNG to write.
        predictions: where the members' predictions are.
        window_days: how far a truth may be from the radar date.

    Raises:
        InputError: the archive or the truth is not usable.
    """
    with open_archive(archive) as opened:
        names = image_names(opened)
        inputs = load_truth(truth, names, window_days).inputs
        chosen = [
            inputs[i] for i in np.linspace(0, len(inputs) - 1, min(ROWS, len(inputs)), dtype=int)
        ]
        about = read_manifest(archive)
        found = [current(predictions, name, sha, names) for name, sha in about.members.items()]
        members = [member for member in found if member]
        radars = _radars(members)
        rows, labels = [], []
        for sar in chosen:
            name = sar.submissions[0]
            key = scene_in(name)
            row = _radar(radars, key)
            row += [to_unit(name, member.load(str(key))) for member in members]
            row.append(to_unit(name, read_image(opened, name)))
            row.append(read_truth(sar.nearest(name), about.target).unit)
            rows.append(row)
            labels.append(str(key))
    columns = ["VV", "VH"] if radars else []
    columns += [member.variant for member in members]
    columns += ["ensemble" if ensemble_label([*about.members]) else archive.stem, "truth"]
    return sheet(rows, columns, labels, path)


def _radars(members: list[Member]) -> dict[SceneKey, Scene]:
    folders = {member.input for member in members if member.input.is_dir()}
    return {scene.key: scene for folder in folders for scene in catalog(folder).of("Sentinel1")}


def _radar(radars: dict[SceneKey, Scene], key: SceneKey | None) -> list[NDArray[np.generic]]:
    if not radars:
        return []
    if key not in radars:
        return [np.zeros((1, 1)), np.zeros((1, 1))]
    return [*scale_radar(read_scene("Sentinel1", radars[key].paths))]
