"""What an archive was made with: versions, and the commit of a clone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import kit
from kit.archive.made_with import commit, made_with


def clone(folder: Path) -> Path:
    """A repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (folder / "kit").mkdir(parents=True)
    (folder / "kit" / "code.py").write_text("x = 1\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    clean |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # not the user's
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b commit -m one"):
        subprocess.run(
            ["git", "-C", folder, *command.split()], env=clean, check=True, capture_output=True
        )
    return folder


def test_the_commit_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clone(tmp_path / "clone")
    sha = commit(root)
    assert sha and len(sha) == 40
    (root / "notes.txt").write_text("not code")
    assert commit(root) == sha
    monkeypatch.setenv("GIT_DIR", str(clone(tmp_path / "other") / ".git"))
    assert commit(root) == sha
    (root / "kit" / "new.py").write_text("y = 2\n")
    assert commit(root) == f"{sha}-dirty"


def test_no_clone_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clone(tmp_path)
    (root / "site-packages").mkdir()
    assert commit(root / "site-packages") is None
    monkeypatch.setenv("PATH", "")
    assert commit(root) is None
    assert made_with(root)["commit"] is None


def test_a_git_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert commit(tmp_path) is None


def test_made_with_names_what_the_bytes_depend_on(tmp_path: Path) -> None:
    found = made_with(tmp_path)
    assert found.keys() == {"kit", "commit", "python", "numpy", "gdal", "zlib"}
    assert found["kit"] == kit.__version__
    assert all(value for key, value in found.items() if key != "commit")
