"""The radar scenes that are to be predicted, of tiles or of images of another layout.

In: a folder, and trained weights. Out: the scenes, the same for every process of a group. Refused
by name: a folder without one, tiles of other units than those that the weights were trained on, and
processes that see different tiles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.doubt import Units
from kit.errors import InputError
from kit.machine.distributed import ProcessGroup
from kit.progress import Advance, Report
from kit.runs.units import check_units
from kit.runs.weights import Weights
from kit.sources.origin import read_tile_units
from kit.sources.radar import RadarImages, find_radar_images
from kit.storage.files import json_sha256
from kit.tiles.catalog import catalog
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene


@dataclass(frozen=True, slots=True)
class Given:
    """The folder that the user named, its layout and the unit of its radar, None to find out."""

    data: Path
    source: str | None = None
    radar_unit: str | None = None


@dataclass(frozen=True, slots=True)
class RadarScenes:
    """The scenes of a folder of tiles, what was left out, and what speaks against their units."""

    data: Path
    scenes: Mapping[SceneKey, Scene]
    rejected: tuple[Rejection, ...]
    doubts: tuple[str, ...] = ()


def find_scenes(
    group: ProcessGroup,
    given: Given,
    work: Path,
    weights: Sequence[Weights],
    units: Units,
    advance: Advance | None,
    report: Report,
) -> RadarScenes:
    """Find the radar scenes of a folder; images of another layout become tiles first.

    Args:
        group: the processes that predict them.
        given: the folder.
        work: the folder of tables, in which such tiles get a folder.
        weights: of all members.
        units: what becomes of doubts about units.
        advance: called with (done, total) while images are converted.
        report: takes a line about what was found.

    Raises:
        InputError: there is no complete and readable radar scene, units differ or are impossible,
            or processes see different tiles.
        BusyError: another command converts the folder.
    """
    data, trained = given.data, weights[0].units
    look = (data, work, trained, given.source, given.radar_unit, units, advance)
    images = group.on_all(lambda: find_radar_images(*look))
    held = images.units if images else read_tile_units(data)
    check_units(weights, held, data, units, report, images=bool(images))
    rejected: list[Rejection] = []
    if images:
        rejected += _convert(group, images, advance, report)
        data = images.tiles
    found = group.on_all(lambda: catalog(data.resolve()))
    rejected += [item for item in found.rejected if not item.name.startswith("Sentinel2")]
    scenes = {scene.key: scene for scene in found.of("Sentinel1")}
    if not scenes:
        raise no_scene(data, rejected)
    group.on_all(lambda: _check_same_scenes(group, data, scenes))
    return RadarScenes(data, scenes, (*rejected,), images.doubts if images else ())


def no_scene(data: Path, rejected: Sequence[Rejection]) -> InputError:
    """What to raise where a folder has no radar scene; the first reasons are named."""
    reasons = "; ".join(f"{item.name}: {item.reason}" for item in rejected[:3])
    problem = f"no complete Sentinel-1 scene ({reasons or 'no Sentinel-1 tile'})"
    return InputError(data, problem, remedy="both VV and VH of a place and date are needed")


def _convert(
    group: ProcessGroup, images: RadarImages, advance: Advance | None, report: Report
) -> list[Rejection]:
    """Have the first process make tiles of images; returns what it could not read."""
    failed: list[Rejection] = []
    if group.is_main:
        for line in images.lines:
            report(line)
    group.on_main(lambda: failed.extend(images.convert(advance)))
    return failed


def _check_same_scenes(group: ProcessGroup, data: Path, scenes: Mapping[SceneKey, Scene]) -> None:
    """Refuse tiles that differ from those of the first process, which may be on another machine."""
    digest = int(json_sha256([*map(str, scenes)])[:15], 16)
    if group.broadcast([digest]) != [digest]:
        problem = "holds other scenes on this machine than where the first process runs"
        raise InputError(data, problem, remedy="give all machines the same tiles")
