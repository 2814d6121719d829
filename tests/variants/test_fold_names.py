"""Which runs are called as folds, and of what."""

from pathlib import Path

import pytest

from kit.variants.fold_names import base_name, fold_folders, fold_name, is_fold


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("spade2.fold2", "spade2"),
        ("spade2.fold12", "spade2"),
        ("my.fold.fold1", "my.fold"),
        ("spade2.fold2.fold3", "spade2.fold2"),
    ],
)
def test_a_fold_has_the_name_of_its_variant(run: str, name: str) -> None:
    assert base_name(run) == name and is_fold(run, name)
    assert fold_name(name, int(run.rpartition("fold")[2])) == run


@pytest.mark.parametrize("run", ["spade2", "spade2.fold", "spade2.fold0", "spade2.fold2x", "fold2"])
def test_what_is_no_fold_is_its_own_variant(run: str) -> None:
    assert base_name(run) == run and not is_fold(run, run)


def test_folders_of_folds_are_found_whatever_the_name(tmp_path: Path) -> None:
    for name in ("a[1]", "a[1].fold2", "a[1].fold1", "a1.fold1", "a[1].fold1.png", "ba[1].fold1"):
        (tmp_path / name).mkdir()
    assert [path.name for path in fold_folders(tmp_path, "a[1]")] == ["a[1].fold1", "a[1].fold2"]
    assert not fold_folders(tmp_path / "none", "a")
