import json
import subprocess
import sys
from pathlib import Path

import gpu_check
import pytest

SCRIPT = Path(gpu_check.__file__)


def test_what_would_begin_too_late_is_skipped_and_said(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.json"
    gpu_check.main(["--minutes", "0", "--sections", "machine,steps", "--out", str(out)])
    found = json.loads(out.read_text())
    assert "needs about" in found["machine"]["skipped"] and "skipped" in found["steps"]
    assert capsys.readouterr().out.startswith("machine: ")


def test_a_section_that_fails_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def child(command: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "a\nCUDA error: out of memory")

    monkeypatch.setattr(subprocess, "run", child)
    assert gpu_check.run("steps", True, 60) == {"failed": ["a", "CUDA error: out of memory"]}


@pytest.mark.slow
def test_it_is_rehearsed_without_rasterio(tmp_path: Path) -> None:
    """As on the machines that a card is lent with."""
    (tmp_path / "rasterio.py").write_text("raise ModuleNotFoundError('rasterio')")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(SCRIPT.parent)!r}]; "
        "import gpu_check; gpu_check.main(['--one', sys.argv[1], '--rehearse'])"
    )
    for name in ("machine", "ceilings", "equal", "waits", "draw"):
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=True
        )
        facts = json.loads(done.stdout.splitlines()[-1])
        assert facts, name
        if name == "equal":
            assert all(each["fifth step"] < 1e-4 for each in facts.values())
