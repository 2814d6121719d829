"""What is refused of a summary."""

from pathlib import Path
from typing import Any

import pytest

from kit.errors import InputError
from kit.pairs.summary import read_summary
from kit.storage.seal import write_record


@pytest.mark.parametrize("name", ["settings", "clipped"])
@pytest.mark.parametrize("value", [[1], "window", 3, None])
def test_settings_that_are_no_object_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "summary.json"
    write_record(path, 2, {"settings": {}, "clipped": {}} | {name: value})
    with pytest.raises(InputError, match=f"damaged: its {name} are no JSON object"):
        read_summary(path)
