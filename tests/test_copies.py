"""Copies of trained runs share their checkpoints, and no test can spoil them for another unseen."""

from pathlib import Path

import pytest

from tests.helpers.folders import copy_of

TENSORS = Path("runs/one/checkpoints/step-00000001/generator.safetensors")


@pytest.fixture
def original(tmp_path: Path) -> Path:
    folder = tmp_path / "original"
    for path in (TENSORS, TENSORS.with_name("state.json")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"whole")
    return folder


def test_what_is_replaced_in_a_copy_stays_in_the_original(original: Path, tmp_path: Path) -> None:
    with copy_of(original, tmp_path / "copy"):
        assert TENSORS.samefile(original / TENSORS)
        TENSORS.unlink()
        TENSORS.write_bytes(b"damaged")
        TENSORS.with_name("state.json").write_bytes(b"damaged")
    assert {path.read_bytes() for path in original.rglob("*.*") if path.is_file()} == {b"whole"}


def test_what_is_written_into_for_all_is_told(original: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="unlink a checkpoint before you change it"),
        copy_of(original, tmp_path / "copy"),
    ):
        TENSORS.write_bytes(b"damaged")
