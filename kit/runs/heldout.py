"""`heldout/` in the folder of a run: its predictions of pairs that its weights have not seen.

In: the folder of a run. Out: the digest of the weights that predicted, and of each scene's image;
the images are read by `kit.storage.image_file`. Refused by name: a manifest that is damaged.
"""

from collections.abc import Mapping
from pathlib import Path

from kit.errors import InputError
from kit.runs.folder import read_pairs_sha256
from kit.storage.image_file import image_path, read_image
from kit.storage.seal import read_record, write_record

HELDOUT = "heldout"
REMEDY = "remove this folder: what is in it is made again"
_MANIFEST = "manifest.json"
_FORMAT = 2


def has_heldout(at: Path) -> bool:
    """Whether there is a manifest in `at`, the folder called `HELDOUT`."""
    return (at / _MANIFEST).exists()


def read_heldout(at: Path) -> tuple[str, dict[str, str]]:
    """SHA-256 of the weights that made the images in `at`, and the digest of each by its scene.

    Raises:
        InputError: the manifest is missing, damaged or of a newer format.
    """
    record = read_record(at / _MANIFEST, _FORMAT, REMEDY)
    weights, scenes = record.get("weights_sha256"), record.get("scenes")
    if not (isinstance(weights, str) and isinstance(scenes, dict)):
        raise InputError(at / _MANIFEST, "damaged: it lists no scenes", remedy=REMEDY)
    return weights, {str(scene): str(sha256) for scene, sha256 in scenes.items()}


def write_heldout(at: Path, weights_sha256: str, scenes: Mapping[str, str]) -> None:
    """Write the manifest of the images in `at`, which lies in the folder of a run.

    Raises:
        OutputError: it cannot be written.
    """
    record = {
        "weights_sha256": weights_sha256,
        "pairs_sha256": read_pairs_sha256(at.parent),
        "scenes": dict(scenes),
    }
    write_record(at / _MANIFEST, _FORMAT, record)


def check_heldout(at: Path) -> None:
    """Refuse predictions in `at` that are damaged.

    Raises:
        InputError: the manifest or an image is not as it was written.
    """
    for scene, sha256 in read_heldout(at)[1].items():
        read_image(image_path(at, scene), sha256, REMEDY)
