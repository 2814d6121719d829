import pytest

from kit.fitting import observations


@pytest.fixture(autouse=True)
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pixels as the small images of these tests hold, where a fit draws them sevenfold."""
    monkeypatch.setattr(observations, "VALUES", 1 << 13)
