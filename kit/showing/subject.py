"""What somebody wants to be shown: a place, or a scene of it.

In: `<lon>_<lat>` or `<lon>_<lat>_<YYYY>_<MM>_<DD>`, or the name of any file that ends so: a tile,
a prediction, an image in an archive. Out: the place and, where there is one, the date.
"""

import math
import re
from dataclasses import dataclass

from kit.errors import InputError
from kit.ground import Place
from kit.tiles.names import SceneKey

_DEGREES = r"-?\d+\.\d+"
_SUBJECT = re.compile(rf"({_DEGREES}_{_DEGREES})(_\d{{4}}_\d{{2}}_\d{{2}})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Subject:
    """A place, and one scene of it or, without one, all of them.

    `image` is what was typed, where that is the name of an image which became the scene.
    """

    place: Place
    scene: SceneKey | None = None
    image: str = ""

    def __str__(self) -> str:
        return str(self.scene) if self.scene else "_".join(self.place)

    def admits(self, scene: SceneKey) -> bool:
        """Whether a scene is what is meant, or one of it."""
        return scene == self.scene if self.scene else scene.place == self.place

    def distance(self, place: Place) -> float:
        """How far another place is, in degrees of latitude."""
        (lon, lat), (x, y) = (map(float, each) for each in (self.place, place))
        return math.hypot((x - lon) * math.cos(math.radians(lat)), y - lat)

    @classmethod
    def parse(cls, text: str) -> "Subject":
        """Read a place, a scene, or the name of a file of a scene.

        Raises:
            InputError: it is none of these, or its date is not in the calendar.
        """
        # A plane of a NetCDF file has its index at the end, and folders may have any name.
        found = [*_SUBJECT.finditer(text.rpartition("/")[2])]
        if not found:
            remedy = (
                "write <lon>_<lat>, <lon>_<lat>_<YYYY>_<MM>_<DD>, a file of such a name, or an "
                "image of another layout that was prepared"
            )
            raise InputError(text, "names no place and no scene", remedy=remedy)
        lon, lat = found[-1][1].split("_")
        scene = SceneKey.parse(found[-1][0]) if found[-1][2] else None
        return cls((lon, lat), scene)
