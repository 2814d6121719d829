"""The manifest of a member's predictions: fields, order, and what older versions wrote."""

import json
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.prediction.manifest import manifest_path, read_manifest, write_manifest

# As version 0.1.0 wrote it, field by field in this order.
WRITTEN = {
    "variant": "spade2",
    "weights_sha256": "5f" * 32,
    "pairs_sha256": "a0" * 32,
    "config": {"name": "spade2", "l1": 1},
    "scaling": {"vv_db": [-25.0, 0.0], "vh_db": [-32.5, 0.0], "dn": [0.0, 3000.0]},
    "target": "reflectance",
    "mean_color": [0.1, 0.2, 0.15],
    "input": "/data/test",
    "engines": [{"name": "eager", "precision": "float32"}],
    "rejected": [
        {
            "scene": "-54.48_-3.33_2019_06_08",
            "name": "Sentinel1 -54.48_-3.33_2019_06_08",
            "kind": "unreadable",
            "reason": "damaged",
        }
    ],
    "scenes": {"-54.50_-3.33_2019_06_08": {"tiles": [[262144, 1], [262144, 2]], "nodata": 0.25}},
}


def test_a_manifest_of_version_0_1_0_comes_back_as_it_was(tmp_path: Path) -> None:
    manifest_path(tmp_path).write_text(json.dumps(WRITTEN, indent=2))
    assert manifest_path(tmp_path).name == "manifest.json"
    write_manifest(tmp_path, read_manifest(tmp_path, "predict again"))
    found = json.loads(manifest_path(tmp_path).read_text())
    new = {"trained_on": None, "flips": 1}
    assert found == WRITTEN | new | {"format": 3, "check": found["check"]}
    assert list(found) == ["format", *WRITTEN, *new, "check"]


def test_engines_that_are_not_recorded_are_unknown(tmp_path: Path) -> None:
    older = {name: value for name, value in WRITTEN.items() if name not in ("engines", "rejected")}
    manifest_path(tmp_path).write_text(json.dumps(older))
    found = read_manifest(tmp_path, "predict again")
    assert found.engines is None and found.rejected == []


def test_a_number_that_no_float_holds_is_refused_by_name(tmp_path: Path) -> None:
    odd = WRITTEN | {"mean_color": [10**400, 0.1, 0.2]}
    manifest_path(tmp_path).write_text(json.dumps(odd))
    with pytest.raises(InputError, match=r"manifest\.json: not a manifest of predictions"):
        read_manifest(tmp_path, "predict again")


@pytest.mark.parametrize("name", ["variant", "weights_sha256", "mean_color", "input", "scenes"])
def test_a_field_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    less = {field: value for field, value in WRITTEN.items() if field != name}
    manifest_path(tmp_path).write_text(json.dumps(less))
    with pytest.raises(InputError, match=f"manifest of predictions .*{name}(.|\n)*predict again"):
        read_manifest(tmp_path, "predict again")
