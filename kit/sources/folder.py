"""The folder of tiles that images become: made once, gone on with, or begun again.

In: twins, and their units. Out, in the folder: `train/`, with the tiles of both sensors; `test/`
and `truth/`, with the radar and the optical tiles of the test part; `source.json`, what they were
made of; `index.csv`, which file became which scene; `tiles.jsonl`, what was written. Images are
read once: PNG and tiles of 13 bands would else be inflated in each epoch.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.progress import Advance
from kit.sources.definition import Definition
from kit.sources.index import index_digest, read_states, write_index
from kit.sources.origin import SOURCE, read_source, read_source_file, write_source_file
from kit.sources.places import MadeUp
from kit.sources.placing import Placed, place_all
from kit.sources.twins import Twins
from kit.sources.units import SourceUnits
from kit.sources.writing import remove, sweep, write_all
from kit.sources.written import WRITTEN
from kit.storage.files import make_folder
from kit.storage.lock import lock
from kit.tiles.rejection import Rejection
from kit.tiles.unfinished import UNFINISHED

_MADE = 3
"""Grows where the same images become other tiles than before, so that folders begin again."""


def write_folder(
    data: Path,
    twins: Sequence[Twins],
    definition: Definition,
    units: SourceUnits,
    made_up: MadeUp,
    folder: Path,
    advance: Advance | None,
) -> tuple[list[Placed], list[Rejection]]:
    """Write the tiles of all images that have changed; returns the scenes, and what was left out.

    Args:
        data: the folder of the images.
        twins: the images.
        definition: their layout.
        units: what their numbers are, and what they become.
        made_up: gives places to images that say nothing of theirs.
        folder: of tiles.
        advance: called with (done, total) during the work.

    Raises:
        InputError: an image lies in the folder of tiles.
        BusyError: another process writes into the folder.
        OutputError: a tile cannot be written.
    """
    _refuse_own(data, twins, folder)
    with lock(folder):
        # A folder of tiles that are made in another way begins again.
        recipe = {"made": _MADE, "definition": _plain(definition), "units": asdict(units)}
        _begin(folder, recipe)
        scenes, repeated = place_all(data, twins, definition, units, made_up)
        sweep(folder, scenes, read_states(folder))
        write_index(folder, scenes)
        failed = write_all(data, scenes, definition, units, folder, advance)
        record = {"source": definition.name, "data": str(data), "units": units.record()}
        write_source_file(folder / SOURCE, record | {"recipe": recipe} | index_digest(folder))
        (folder / UNFINISHED).unlink(missing_ok=True)
    return scenes, [*repeated, *failed]


def is_made_by(tiles: Path, definition: Definition) -> bool:
    """Whether a folder of tiles was made by a definition as it is now; raises as `read_source`.

    So it is where the folder, of an earlier kit, does not say by which.
    """
    now = json.loads(json.dumps(_plain(definition)))
    recipe = read_source(tiles).get("recipe") or {}
    return bool(recipe.get("definition", now) == now)


def _begin(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Mark the folder as unfinished; empty it if its tiles were made by another recipe."""
    before: Any = None
    for path in (folder / UNFINISHED, folder / SOURCE):
        with suppress(InputError):
            if path.exists():
                before = read_source_file(path)
                break
    plain = before and before.get("recipe")
    make_folder(folder)
    for part in ("train", "test", "truth", "qa60"):
        make_folder(folder / part)
        if plain != json.loads(json.dumps(recipe)):
            remove(folder / part)
            (folder / WRITTEN).unlink(missing_ok=True)
    write_source_file(folder / UNFINISHED, {"recipe": recipe})
    (folder / SOURCE).unlink(missing_ok=True)


def _refuse_own(data: Path, twins: Sequence[Twins], folder: Path) -> None:
    """Refuse images that lie in the folder of tiles, where they would be removed."""
    images = (image for each in twins for image in (each.radar, each.optical) if image)
    parents = {(data / file).parent for image in images for file in image.files.values()}
    own = folder.resolve()
    for parent in sorted(parents):
        if parent.resolve().is_relative_to(own):
            problem = f"holds tiles that the kit has converted, and would convert into {folder}"
            remedy = "give the folder of the images themselves, or another one of tables by --work"
            raise InputError(parent, problem, remedy=remedy)


def _plain(definition: Definition) -> dict[str, Any]:
    """What of a definition decides the tiles."""
    sides = {
        sensor: {"bands": dict(side.bands), "count": side.count}
        for sensor, side in (("radar", definition.radar), ("optical", definition.optical))
    }
    return {"name": definition.name, "group": [*definition.group], **sides}
