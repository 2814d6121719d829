"""What the files of an archive are: its images, and what the server passes over.

In: the names of the files in a zip or a folder. Out: these names in two groups, without what macOS
and Windows add; and the image that a name without a folder means. Refused by name: a name that fits
two images, and images in two folders where only one can be meant. Every command that reads an
archive asks here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kit.errors import InputError

SUFFIX = ".tiff"
_MACOS_FOLDER, _MACOS_PREFIX = "__MACOSX", "._"
_DESKTOP_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of an archive by their names, each group sorted.

    `images` end in `SUFFIX`. `passed_over` are all others, images with another suffix among them:
    no server reads them.
    """

    images: tuple[str, ...]
    passed_over: tuple[str, ...]


def sort_contents(names: Iterable[str]) -> Contents:
    """Sort the names of files.

    Those of folders, which end in `/`, and what the Finder of macOS and the Explorer of Windows put
    into a zip by themselves are in no group.
    """
    files = sorted(name for name in names if not (name.endswith("/") or is_added(name)))
    return Contents(
        images=tuple(name for name in files if name.endswith(SUFFIX)),
        passed_over=tuple(name for name in files if not name.endswith(SUFFIX)),
    )


def is_added(name: str) -> bool:
    """Whether a program of the desktop, not the user, put a file of this name into an archive."""
    *folders, last = name.split("/")
    if _MACOS_FOLDER in folders or last.startswith(_MACOS_PREFIX):
        return True
    return last.lower() in _DESKTOP_FILES


class ImageNames:
    """The images of an archive by the last part of their names, as a mapping may list them."""

    def __init__(self, images: Sequence[str]) -> None:
        self._places: dict[str, list[str]] = {}
        for image in images:
            self._places.setdefault(PurePosixPath(image).name, []).append(image)

    def find(self, name: str) -> str | None:
        """The image that a name without a folder means; None if there is none of that name.

        Raises:
            InputError: the name fits two images.
        """
        found = self._places.get(name, ())
        if len(found) > 1:
            raise _two(found)
        return found[0] if found else None


def require_one_folder(images: Sequence[str]) -> None:
    """Refuse images in several folders: the server reads one, and which is not said.

    Raises:
        InputError: names an image of each of two folders.
    """
    names = ImageNames(images)
    folders: Mapping[str, str] = {image.rpartition("/")[0]: image for image in reversed(images)}
    if len(folders) < 2:
        return
    for image in images:
        names.find(PurePosixPath(image).name)
    one, other = (folders[folder] for folder in sorted(folders)[:2])
    problem = f"lies in another folder than {one}; the server reads one folder"
    raise InputError(other, problem, remedy="leave the other folder out of the archive")


def _two(images: Sequence[str]) -> InputError:
    problem = f"has the name of another image, {images[0]}"
    remedy = "which of them is meant cannot be known: leave one out of the archive"
    return InputError(images[1], problem, remedy=remedy)
