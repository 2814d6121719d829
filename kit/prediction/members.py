"""Member predictions, one scene at a time.

In: `predictions/<variant>/`, a folder of uint16 arrays [3, H, W] with a manifest. Out: the images
of several members, and their average. Refused by name: a member that was never predicted, lacks a
scene that another has, saw other tiles of it, or was trained for another target space; and a
folder that holds those of another member.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.colors import Colors
from kit.errors import InputError
from kit.prediction.combination import PLAIN, Combination
from kit.prediction.manifest import manifest_path, predicted, radar_digest, read_manifest
from kit.storage.files import name_of
from kit.storage.image_file import image_path, read_image
from kit.variants.fold_names import base_name
from kit.variants.registry import ENSEMBLES, VARIANTS, no_such_ensemble


@dataclass(frozen=True, slots=True)
class Member:
    """One variant's predictions, as its manifest describes them.

    The fields are those of `kit.prediction.manifest.Manifest`; `engines` and `trained_on` are
    empty where a manifest does not name them.
    """

    folder: Path
    variant: str
    weights_sha256: str
    config: dict[str, Any]
    scaling: dict[str, Any]
    target: str
    colors: Colors
    input: Path
    scenes: dict[str, dict[str, Any]]
    pairs_sha256: str | None
    engines: tuple[dict[str, Any], ...]
    trained_on: tuple[str, ...]
    flips: int = 1

    @property
    def base_name(self) -> str:
        """The variant; the one that all folds share where the member is a fold."""
        return base_name(self.variant) if self.config.get("folds", 1) > 1 else self.variant

    def has(self, scene: str) -> bool:
        """Whether there is a file with the prediction for a scene."""
        return image_path(self.folder, scene).exists()

    def load(self, scene: str) -> NDArray[np.uint16]:
        """The prediction [3, H, W] for a scene; its values over 65535 are in [0, 1].

        Raises:
            InputError: the file is missing, damaged or holds something else.
        """
        command = predict_command(self.variant, flips=self.flips)
        remedy = f"run: {command}, which predicts it again"
        entry = self.scenes.get(scene, {})
        return read_image(image_path(self.folder, scene), entry.get("sha256"), remedy)


def find_member(folder: Path) -> Member | None:
    """The member whose predictions are in `folder`; None if it has no manifest.

    Raises:
        InputError: the manifest is damaged or of another member, or lacks a field.
    """
    return read_member(folder) if manifest_path(folder).exists() else None


def read_member(folder: Path) -> Member:
    """The member whose predictions are in `folder`.

    Raises:
        InputError: the manifest is missing, damaged or of another member, or lacks a field.
    """
    remedy = f"run: {predict_command(folder.name)}"
    if manifest_path(folder).exists():  # what is there and damaged, kit predict replaces if told to
        remedy += " --overwrite"
    manifest = read_manifest(folder, remedy)
    if manifest.variant != name_of(folder):
        remedy = "give it its own name again"
        raise InputError(folder, f"holds predictions by {manifest.variant}", remedy=remedy)
    return Member(
        folder=folder,
        variant=manifest.variant,
        weights_sha256=manifest.weights_sha256,
        config=manifest.config,
        scaling=manifest.scaling,
        target=manifest.target,
        colors=manifest.colors,
        input=Path(manifest.input),
        scenes=manifest.scenes,
        pairs_sha256=manifest.pairs_sha256,
        engines=tuple(manifest.engines or ()),
        trained_on=tuple(manifest.trained_on or ()),
        flips=manifest.flips,
    )


def read_members(
    predictions: Path, names: Sequence[str], ensembles: Iterable[str] = ENSEMBLES
) -> tuple[Member, ...]:
    """The members called `names`, checked for having the same scenes and target space.

    Args:
        predictions: the folder of predictions.
        names: of the members.
        ensembles: what else may have been meant.

    Raises:
        InputError: one is missing, has other scenes than another, saw other tiles of one, or has
            another target space.
    """
    for name in names:
        if name not in VARIANTS and not (predictions / name).is_dir():
            raise no_such_ensemble(name, [*ensembles, *predicted(predictions)])
    found = tuple(read_member(predictions / name) for name in names)
    everything = set().union(*(member.scenes for member in found))
    if not everything:
        raise InputError(
            predictions, "no scene is predicted", remedy=f"run: {predict_command(*names)}"
        )
    for member in found:
        if _space(member) != _space(found[0]):
            raise InputError(
                member.folder,
                f"predicts {_space(member)}, but {found[0].variant} predicts {_space(found[0])}",
                remedy="average only variants that were trained with the same target",
            )
        if other := of_other_tiles(found[0], member):
            more = f" and {len(other) - 1} more scenes" if len(other) > 1 else ""
            raise InputError(
                member.folder,
                f"{member.variant} was predicted from other tiles of {other[0]}{more} "
                f"than {found[0].variant}",
                remedy=f"run: {predict_command(*names, flips=member.flips)} --overwrite",
            )
        if missing := sorted(everything.difference(member.scenes)):
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            problem = f"{member.variant} has no prediction for {missing[0]}{others}"
            command = predict_command(*names, flips=member.flips)
            raise InputError(member.folder, problem, remedy=f"run: {command}")
    return found


def seen_in_training(
    trained_on: Mapping[str, Iterable[str]], scenes: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Which scenes members have seen in training, where a member has seen any.

    Args:
        trained_on: for each member scenes that its weights were trained on.
        scenes: those that are asked about.
    """
    asked = dict.fromkeys(scenes)
    seen = {name: set(trained) for name, trained in trained_on.items()}
    found = {name: tuple(scene for scene in asked if scene in seen[name]) for name in seen}
    return {name: those for name, those in found.items() if those}


def load_scene(members: Sequence[Member], scene: str) -> tuple[NDArray[np.uint16], ...]:
    """The members' predictions [3, H, W] for one scene, all of one size.

    Raises:
        InputError: a prediction is missing or damaged, or not of the size of the first member's.
    """
    images = tuple(member.load(scene) for member in members)
    for member, image in zip(members, images, strict=True):
        if image.shape != images[0].shape:
            other = f"{list(images[0].shape)} by {members[0].variant}"
            command = predict_command(member.variant, flips=member.flips)
            raise InputError(
                image_path(member.folder, scene),
                f"is {list(image.shape)}, but {other}",
                remedy=f"run: {command} --overwrite",
            )
    return images


def combine_scene(
    members: Sequence[Member], scene: str, combination: Combination = PLAIN
) -> NDArray[np.uint16]:
    """The image [3, H, W] that the members' predictions of a scene make; raises as `load_scene`."""
    return combination.apply(load_scene(members, scene))


def predict_command(*members: str, flips: int = 1) -> str:
    """The command that makes the predictions of these members, of so many views of each scene."""
    views = f" --flips {flips}" if flips > 1 else ""
    return f"kit predict --ensemble {','.join(members)} --input TEST{views}"


def _space(member: Member) -> str:
    return f"{member.target} of DN {member.scaling.get('dn')}"


def of_other_tiles(first: Member, second: Member) -> list[str]:
    """The scenes that two members saw otherwise.

    By content; by size and time of the tiles where a kit before 0.3.0 predicted one of the two.
    """
    found = []
    for scene, entry in first.scenes.items():
        other = second.scenes.get(scene, entry)
        digests: tuple[Any, Any] = radar_digest(entry), radar_digest(other)
        if None in digests:
            digests = entry.get("tiles"), other.get("tiles")
        if digests[0] != digests[1]:
            found.append(scene)
    return found
