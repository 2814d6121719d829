"""A set of predictions that is made beside the one that is there, whose place it takes at its end.

In: the folder of a member's predictions, its manifest, and the tiles of now. Out: where the next
set is made, whether one is needed, and images that both sets have, which take no space twice.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.prediction.manifest import Manifest


def next_folder(folder: Path) -> Path:
    """Where the set is made that will take the place of `folder`."""
    real = Path(os.path.realpath(folder))  # on its disk, where it can take the name
    return real.with_name(f".{real.name}.next")


def would_lose(manifest: Manifest, tiles: Mapping[str, Any]) -> bool:
    """Whether predicting these tiles in place would cost a set before the next one is complete.

    Args:
        manifest: of the set that is there.
        tiles: sizes and times of the tiles of each scene, as they are now.
    """
    done = {
        name: entry for name, entry in manifest.scenes.items() if entry.get("nodata") is not None
    }
    changed = any(tiles.get(name) != entry.get("tiles") for name, entry in done.items())
    complete = len(done) == len(manifest.scenes)
    return changed or (complete and len(tiles) > len(done))


def share(image: Path, folder: Path) -> None:
    """Have an image of another set in `folder` too; a link, or a copy where there are no links."""
    target = folder / image.name
    target.unlink(missing_ok=True)
    try:
        os.link(image, target)
    except OSError:
        shutil.copyfile(image, target)
