"""The compiled libraries are found, or the reason why not is told."""

import pytest

from kit import core


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch):
    core.load.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    core.load.cache_clear()


@pytest.mark.parametrize("name", core.REMEDIES)
def test_a_missing_library_is_told(unloaded, tmp_path, name) -> None:
    unloaded.setattr("kit.__path__", [str(tmp_path)])
    assert core.load(name) == (None, f"the kit was installed without {name}")


@pytest.mark.parametrize("name", core.REMEDIES)
def test_what_is_no_library_is_told(unloaded, tmp_path, name) -> None:
    (tmp_path / f"lib{name}.so").write_bytes(b"not a library")
    unloaded.setattr("kit.__path__", [str(tmp_path)])
    library, why = core.load(name)
    assert library is None
    assert "does not load" in why


def test_this_process_may_use_a_core() -> None:
    assert core.cores() >= 1
