"""The images of an archive, averaged from its members' predictions and written as a zip.

In: members, and the name of each image with its scene. Out: the bytes of the archive, the same for
the same predictions and names.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from kit.archive.manifest import predictions_digest
from kit.archive.writer import Entry, Sink, write_zip
from kit.machine.cores import cores
from kit.prediction.combination import PLAIN, Combination
from kit.prediction.members import Member, load_scene
from kit.progress import Advance
from kit.storage.image_file import digest
from kit.tiles.tiff import encode_tiff


class Built(NamedTuple):
    """What went into an archive: the SHA-256 of each image, and of each member's predictions."""

    entries: dict[str, str]
    predictions: dict[str, str]


def build(
    sink: Sink,
    members: Sequence[Member],
    names: Mapping[str, str],
    *,
    combination: Combination = PLAIN,
    threads: int | None = None,
    advance: Advance | None = None,
) -> Built:
    """Combine the members and write the zip; the bytes depend on predictions and names alone.

    Args:
        sink: the open file, or whatever else takes the bytes of the archive.
        members: whose predictions are averaged.
        names: each image's name with its scene; images of one scene are made once.
        combination: how the images of the members become one.
        threads: how many average and deflate; one for each core if None.
        advance: called with the images made, and their number.

    Raises:
        InputError: a prediction is missing, damaged, or of another size than another member's.
    """
    scenes: dict[str, list[str]] = {}
    for name, scene in names.items():
        scenes.setdefault(scene, []).append(name)
    digests: dict[str, dict[str, str]] = {member.variant: {} for member in members}

    def make(scene: str) -> bytes:
        images = load_scene(members, scene)
        for member, image in zip(members, images, strict=True):
            digests[member.variant][scene] = digest(image)
        return encode_tiff(combination.apply(images))

    def entries() -> Iterator[Entry]:
        done = 0
        for scene, listed in scenes.items():
            yield listed, partial(make, scene)
            done += len(listed)
            if advance:
                advance(done, len(names))

    found = write_zip(sink, entries(), threads=threads or cores())
    return Built(found, {name: predictions_digest(made) for name, made in digests.items()})
