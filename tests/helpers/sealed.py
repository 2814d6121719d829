"""Sealed records, changed as if the kit had written them so."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.storage.files import json_sha256


def rewrite(
    path: Path, changes: Mapping[str, Any] | None = None, without: tuple[str, ...] = ()
) -> None:
    """Change fields of a sealed record, or leave some out, and seal it again."""
    record = json.loads(path.read_text()) | dict(changes or {})
    record = {key: value for key, value in record.items() if key not in ("check", *without)}
    path.write_text(json.dumps(record | {"check": json_sha256(record)}))
