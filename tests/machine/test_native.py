"""The compiled libraries are found, or the reason why not is told."""

import pytest

from kit.machine import native


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch):
    native.load.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    native.load.cache_clear()


@pytest.mark.parametrize("name", native.REMEDIES)
def test_a_missing_library_is_told(unloaded, tmp_path, name) -> None:
    unloaded.setattr("kit.__path__", [str(tmp_path)])
    assert native.load(name) == (None, f"the kit was installed without {name}")


@pytest.mark.parametrize("name", native.REMEDIES)
def test_what_is_no_library_is_told(unloaded, tmp_path, name) -> None:
    (tmp_path / f"lib{name}.so").write_bytes(b"not a library")
    unloaded.setattr("kit.__path__", [str(tmp_path)])
    library, why = native.load(name)
    assert library is None
    assert "does not load" in why
