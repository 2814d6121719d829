"""One reading of an archive: what is an image, what is not, and which one a name means."""

import pytest

from kit.archive.contents import Contents, ImageNames, is_added, require_one_folder, sort_contents
from kit.errors import InputError

FINDER = ("__MACOSX/CH3/._a.tiff", "CH3/._a.tiff", ".DS_Store", "CH3/.DS_Store", "Thumbs.db")


def test_files_are_images_or_passed_over_but_for_what_systems_add() -> None:
    names = ("CH3/", "CH3/b.tiff", "CH3/a.tiff", "CH3/c.tif", "CH3/d.TIFF", "notes.txt", *FINDER)
    assert sort_contents(names) == Contents(
        images=("CH3/a.tiff", "CH3/b.tiff"),
        passed_over=("CH3/c.tif", "CH3/d.TIFF", "notes.txt"),
    )


def test_what_looks_like_an_added_file_and_is_none() -> None:
    assert not any(map(is_added, ("CH3/_a.tiff", "CH3/a._tiff", "x__MACOSX/a.tiff", "my.DS_Store")))


def test_a_name_without_a_folder_means_the_one_image_of_that_name() -> None:
    names = ImageNames(("CH3/a.tiff", "CH3/b.tiff", "old/b.tiff"))
    assert names.find("a.tiff") == "CH3/a.tiff"
    assert names.find("c.tiff") is None
    with pytest.raises(InputError, match=r"has the name of another image, CH3/b\.tiff") as raised:
        names.find("b.tiff")
    assert raised.value.where == "old/b.tiff"


def test_images_of_two_folders_cannot_be_told_apart() -> None:
    require_one_folder(("CH3/a.tiff", "CH3/b.tiff"))
    require_one_folder(("a.tiff",))
    with pytest.raises(
        InputError, match=r"old/a\.tiff: has the name of another image, CH3/a\.tiff"
    ):
        require_one_folder(("CH3/a.tiff", "old/a.tiff"))
    with pytest.raises(InputError, match=r"old/b\.tiff: lies in another folder than CH3/a\.tiff"):
        require_one_folder(("CH3/a.tiff", "old/b.tiff"))
