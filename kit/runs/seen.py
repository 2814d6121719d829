"""What weights have seen in training, and what else shows the same ground.

In: scenes as `kit.tiles.names.SceneKey` writes them. Out: those among others that share ground with
what was trained on, at any date.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kit.ground import Place, sharing_ground


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Pairs of scenes, each `<lon>_<lat>_<YYYY>_<MM>_<DD>`; the two of a pair have one index.

    `held` are the optical scenes that a run of one fold holds out of the pairs of its training set;
    `before` those that the weights which it started from were trained on. `clear` are those of
    `optical` that were of Dataset-2 then; None where no prior is made of them, or it is not known.
    """

    radar: tuple[str, ...]
    optical: tuple[str, ...]
    held: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    clear: tuple[str, ...] | None = None

    @property
    def seen(self) -> frozenset[str]:
        """The optical scenes that its weights have seen, here or before."""
        return frozenset((*self.optical, *self.before))

    def among(self, scenes: Iterable[str], pixels: int) -> list[str]:
        """Which of some scenes show ground that was trained on, at any date, in their order.

        Args:
            scenes: texts like those of the pairs.
            pixels: the side of their tiles, in pixels of 10 m.
        """
        places = {scene: place_of(scene) for scene in scenes}
        trained = map(place_of, (*self.radar, *self.before))
        seen = sharing_ground(places.values(), trained, pixels)
        return [scene for scene, place in places.items() if place in seen]


def place_of(scene: str) -> Place:
    """Where a scene `<lon>_<lat>_<YYYY>_<MM>_<DD>` lies."""
    lon, lat, _ = scene.split("_", 2)
    return lon, lat
