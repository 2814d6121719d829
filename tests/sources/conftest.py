"""Folders in other layouts, made once."""

from pathlib import Path

import pytest

from tests.helpers.sources import write_pictures, write_sen12ms


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs of PNG to train on and two to test."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), 12, 2)


@pytest.fixture(scope="session")
def sen12ms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SEN12MS-CR: two overlapping patches of each of six scenes, and their cloudy twins."""
    return write_sen12ms(tmp_path_factory.mktemp("sen12ms"), 2, scenes=range(1, 7), cloudy=True)
