import pytest


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four hidden channels in each of SPADE's norms, not 128, on which little depends."""
    monkeypatch.setattr("kit.models.spade._HIDDEN", 4)
