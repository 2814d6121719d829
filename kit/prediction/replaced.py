"""Tiles that were replaced by others of the same size and time since they were predicted from."""

from collections.abc import Mapping

from kit.errors import InputError
from kit.inputs.planes import InputPlanes
from kit.prediction.manifest import Manifest
from kit.prediction.pipeline import read_radar
from kit.tiles.names import SceneKey
from kit.tiles.scenes import Scene


def forget_replaced(
    manifest: Manifest,
    scenes: Mapping[SceneKey, Scene],
    changed: Mapping[str, int],
    planes: InputPlanes,
) -> None:
    """Have a manifest say of no scene that it was predicted from tiles that it was not.

    Where ctime alone has changed, after a copy say, the content decides.

    Args:
        manifest: of predictions; the `tiles` of scenes that saw others become None.
        scenes: that are to be predicted.
        changed: the latest ctime of the tiles of each, as they are now.
        planes: make what the network is given.
    """
    for key, scene in scenes.items():
        entry = manifest.scenes.get(str(key), {})
        if entry.get("changed") in (None, changed[str(key)]) or "input_sha256" not in entry:
            continue
        reading = read_radar(scene, [planes])
        # What cannot be read any more is no other scene: the prediction is of what could be.
        if isinstance(reading, InputError):
            continue
        if reading.inputs[0].facts["input_sha256"] != entry["input_sha256"]:
            entry["tiles"] = None
