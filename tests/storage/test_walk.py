"""Folders of any depth, links in a circle, and what cannot be listed."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kit.errors import InputError
from kit.sources.find import find_tiles
from kit.sources.listing import list_files
from kit.sources.radar_listing import list_radar
from kit.storage.walk import walk
from kit.verification.verify import verify

DEEPER = 1100
"""Folders within each other: more than the calls that Python's stack has room for."""


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of nested folders, the last of which holds a damaged record of the kit."""
    top = tmp_path_factory.mktemp("deep")
    folders = [top.joinpath(*["d"] * depth) for depth in range(1, DEEPER)]
    for folder in folders:
        folder.mkdir()
    record = folders[-1] / "last.json"
    record.touch()
    yield top
    record.unlink()
    for folder in reversed(folders):  # pytest's own clean-up would call itself for each level
        folder.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "look",
    [
        lambda folder: find_tiles(folder, folder / "work"),
        list_radar,
        lambda folder: verify([folder]),
        lambda folder: verify([folder], data=True),
    ],
    ids=["find_tiles", "list_radar", "verify", "verify with the data"],
)
def test_folders_nested_deeper_than_pythons_stack(
    deep: Path, look: Callable[[Path], object]
) -> None:
    with suppress(InputError):
        look(deep)
    (damage,) = verify([deep]).damaged
    assert damage.path.endswith("d/last.json")
    assert list_files(deep) == [damage.path.removeprefix(f"{deep}/")]


def names(folder: Path, **options: Any) -> list[str]:
    return sorted(os.path.relpath(entry.path, folder) for entry in walk(folder, **options))


def test_links_are_kept_or_entered(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "a" / "b" / "circle").symlink_to(tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "itself").symlink_to("itself")
    assert names(tmp_path) == ["a/b/circle", "a/b/file", "again", "itself"]
    assert names(tmp_path, links="always") == ["a/b/file", "again/file", "itself"]
    assert len(names(tmp_path, links="once")) == 2


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in ("seen", ".hidden", ".git/config"):
        (tmp_path / name).touch()
    assert names(tmp_path) == [".git/config", ".hidden", "seen"]
    assert names(tmp_path, hidden=False) == ["seen"]


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").touch()
    listed = os.scandir

    def scandir(folder: str) -> Any:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        names(tmp_path)
    told: list[OSError] = []
    assert names(tmp_path, onerror=told.append) == ["file"] and len(told) == 1
    with pytest.raises(InputError, match="closed: cannot be listed"):
        list_files(tmp_path)
    (damage,) = verify([tmp_path]).damaged
    assert damage.path == str(tmp_path / "closed") and "Permission denied" in damage.problem
