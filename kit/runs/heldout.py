"""`heldout/` in the folder of a run: its predictions of pairs that its weights have not seen.

In: the folder of a run. Out: the digest of the weights that predicted, the scenes that they
predicted from, and the digest of each optical scene's image; the images are read by
`kit.storage.image_file`. Refused by name: a manifest that is damaged, or of another run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.runs.folder import read_pairs_sha256
from kit.storage.files import known_to_differ, name_of
from kit.storage.image_file import image_path, read_image
from kit.storage.seal import read_record, write_record

HELDOUT = "heldout"
REMEDY = "remove this folder: what is in it is made again"
MANIFEST = "manifest.json"
_FORMAT = 2
_RUN = "run"


@dataclass(frozen=True, slots=True)
class HeldOutRecord:
    """What a manifest says: the SHA-256 of the weights, and of optical scenes what they predicted.

    `images` has the digest of each scene's image, `inputs` the scenes that it was predicted from,
    as `kit.inputs.planes` names them; None by a kit before 0.6.0, which did not record it.
    `pixels_sha256` is that of the pixels of the table of pairs, if it is known.
    """

    weights_sha256: str
    images: dict[str, str]
    inputs: dict[str, str] | None = None
    pixels_sha256: str | None = None

    def has_other_pixels(self, now: str | None) -> bool:
        """Whether the pixels that it was made of are known to differ from those of now."""
        return known_to_differ(now, self.pixels_sha256)

    def has(self, optical: str, inputs: str) -> bool:
        """Whether it has an image of this pair."""
        return optical in self.images and (
            self.inputs is None or self.inputs.get(optical) == inputs
        )

    def has_all(self, inputs: Mapping[str, str]) -> bool:
        """Whether it has an image of each pair, given the inputs of each optical scene."""
        return all(self.has(*pair) for pair in inputs.items())


def has_heldout(at: Path) -> bool:
    """Whether there is a manifest in `at`, the folder called `HELDOUT`."""
    return (at / MANIFEST).exists()


def read_heldout(at: Path) -> HeldOutRecord:
    """What the manifest in `at` says of the images there.

    Raises:
        InputError: the manifest is missing, damaged, of another run or of a newer format.
    """
    record = read_record(at / MANIFEST, _FORMAT, REMEDY)
    weights, scenes, inputs = (record.get(key) for key in ("weights_sha256", "scenes", "inputs"))
    pixels = record.get("pixels_sha256")
    if not (isinstance(weights, str) and isinstance(scenes, dict)):
        raise InputError(at / MANIFEST, "damaged: it lists no scenes", remedy=REMEDY)
    run = name_of(at.parent)
    if (found := record.get(_RUN, run)) != run:
        raise InputError(at / MANIFEST, f"is of the run {found}", remedy=REMEDY)
    return HeldOutRecord(
        weights,
        _texts(scenes),
        _texts(inputs) if isinstance(inputs, dict) else None,
        pixels if isinstance(pixels, str) else None,
    )


def write_heldout(at: Path, record: HeldOutRecord) -> None:
    """Write the manifest of the images in `at`, which lies in the folder of a run.

    Raises:
        OutputError: it cannot be written.
    """
    values: dict[str, Any] = {
        _RUN: name_of(at.parent),
        "weights_sha256": record.weights_sha256,
        "pairs_sha256": read_pairs_sha256(at.parent),
        "scenes": record.images,
    }
    if record.inputs is not None:
        values["inputs"] = record.inputs
    if record.pixels_sha256:
        values["pixels_sha256"] = record.pixels_sha256
    write_record(at / MANIFEST, _FORMAT, values)


def check_heldout(at: Path) -> None:
    """Refuse predictions in `at` that are damaged.

    Raises:
        InputError: the manifest or an image is not as it was written.
    """
    for scene, sha256 in read_heldout(at).images.items():
        read_image(image_path(at, scene), sha256, REMEDY)


def _texts(values: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}
