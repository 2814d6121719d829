"""kit compile --export: one file, or a refusal that says why."""

import json
from pathlib import Path

import pytest

from tests.helpers.generators import saved

pytestmark = pytest.mark.engine

pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")


@pytest.mark.slow
def test_the_command_writes_one_file_and_says_what_it_takes(
    tmp_path: Path, kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, "prior1", [])
    code, out, err = kit("compile prior1 --export onnx mine.onnx --size 40 --json")
    told = json.loads(out)
    assert code == 0 and told["size"] == Path("mine.onnx").stat().st_size
    assert (told["opset"], told["height"], [*told["inputs"]]) == (18, 40, ["radar", "prior"])
    assert "prior1 as ONNX of opset 18" in err and "tiles of 40x40" in err
    code, _, err = kit("compile prior1 --export onnx mine.onnx")
    assert code == 5 and "mine.onnx: exists" in err
    for wrong in ("prior1 spade2", "prior1 --target sm89", "prior1 --precision int8"):
        assert kit(f"compile {wrong} --export onnx other.onnx")[0] == 2
    assert kit("compile prior1 --overwrite")[0] == 2
    assert not Path("other.onnx").exists()
