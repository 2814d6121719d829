import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpu_check
import gpu_steps
import pytest

from kit.training.compile_error import CompileError

SCRIPT = Path(gpu_check.__file__)


def test_what_would_begin_too_late_is_skipped_and_said(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.json"
    gpu_check.main(["--minutes", "0", "--sections", "machine,steps", "--out", str(out)])
    found = json.loads(out.read_text())
    assert "needs about" in found["machine"]["skipped"] and "skipped" in found["steps"]
    assert capsys.readouterr().out.startswith("machine: ")


def test_the_sections_fit_a_quarter_of_an_hour() -> None:
    assert sum(seconds for _, seconds in gpu_check.SECTIONS.values()) <= 14 * 60


def section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, needs: float) -> None:
    """Have `code` run in place of the section `steps`."""
    script = tmp_path / "section.py"
    script.write_text(code)
    monkeypatch.setattr(gpu_check, "__file__", str(script))
    monkeypatch.setitem(gpu_check.SECTIONS, "steps", (gpu_steps.steps, needs))


def test_a_section_that_fails_costs_only_itself(monkeypatch, tmp_path: Path) -> None:
    section(monkeypatch, tmp_path, "import sys; sys.exit('measured\\nCUDA error')", 1)
    found = gpu_check.run("steps", True, 60)
    assert found == {"failed": "exit code 1", "before": ["measured", "CUDA error"]}
    section(monkeypatch, tmp_path, "import no_such_library", 1)
    skipped = "ModuleNotFoundError: No module named 'no_such_library'"
    assert gpu_check.run("steps", True, 60) == {"skipped": skipped}


HANGS = """
import subprocess, sys, time
deaf = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("measured", deaf.pid, file=sys.stderr, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_section_that_hangs_leaves_time_for_others_and_the_card_free(
    monkeypatch, tmp_path: Path
) -> None:
    section(monkeypatch, tmp_path, HANGS, 0.4)
    start = time.monotonic()
    found = gpu_check.run("steps", True, 600)
    assert time.monotonic() - start < 30
    assert found["failed"] == "stopped after 1 s"
    ((said, process),) = (line.split() for line in found["before"])
    assert said == "measured"
    status = Path("/proc", process, "status")
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() - start < 30
        time.sleep(0.05)


def test_what_an_earlier_run_found_is_kept(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu_check, "__file__", str(tmp_path / "gpu_check.py"))
    monkeypatch.setattr(gpu_check, "run", lambda name, rehearse, left: {"found": name})
    gpu_check.main(["--sections", "machine"])
    gpu_check.main(["--sections", "steps"])
    for nothing in ({"skipped": "too late"}, {"failed": "stopped after 9 s", "before": []}):
        monkeypatch.setattr(gpu_check, "run", lambda *_, found=nothing: found)
        gpu_check.main(["--sections", "machine"])
    monkeypatch.setattr(gpu_check, "run", lambda name, rehearse, left: {"rehearsed": name})
    gpu_check.main(["--sections", "machine", "--rehearse"])
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert {name: facts["found"] for name, facts in found.items()} == {
        "machine": "machine",
        "steps": "steps",
    }
    rehearsed = json.loads((tmp_path / "gpu_check.rehearsal.json").read_text())
    assert rehearsed["machine"]["rehearsed"] == "machine"


def test_steps_that_cannot_be_compiled_do_not_end_the_others(monkeypatch) -> None:
    def stepping(variant: Any, sizes: Any, compiled: bool, peak: float) -> dict[str, Any]:
        if compiled:
            raise CompileError(variant.name, "torch.compile fails on this machine: no compiler")
        return {"images/s": 1.0}

    monkeypatch.setattr(gpu_steps, "stepping", stepping)
    monkeypatch.setattr(gpu_steps, "NAMES", ("spade2",))
    assert gpu_steps.steps(gpu_steps.REHEARSAL) == {
        "spade2, batch 2, eager": {"images/s": 1.0},
        "spade2, batch 2, compiled": {
            "failed": "spade2: torch.compile fails on this machine: no compiler"
        },
    }


READ_TILES = ("commands", "launched", "loader")


@pytest.mark.slow
def test_what_reads_tiles_is_rehearsed() -> None:
    found = {name: gpu_check.run(name, True, 600) for name in READ_TILES}
    assert "failed" not in found["commands"] and len(found["commands"]) == 5
    assert [*found["launched"]] == ["first", "again"]
    assert all("ready s" in each for each in found["launched"].values()), found["launched"]
    assert min(found["loader"].values()) > 0


@pytest.mark.slow
def test_it_is_rehearsed_without_rasterio(tmp_path: Path) -> None:
    """As on the machines that a card is lent with."""
    (tmp_path / "rasterio.py").write_text("raise ModuleNotFoundError('rasterio')")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(SCRIPT.parent)!r}]; "
        "import gpu_check; gpu_check.main(['--one', sys.argv[1], '--rehearse'])"
    )
    for name in set(gpu_check.SECTIONS) - {"steps", "tests", *READ_TILES}:
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=True
        )
        facts = json.loads(done.stdout.splitlines()[-1])
        assert facts, name
        if name in ("equal", "ranks"):
            assert all(each["fifth step"] < 1e-3 for each in facts.values())
        if name == "saved":
            assert set(facts.values()) == {0.0}
        if name == "norms":
            assert max(facts["float32"][way] for way in ("forward", "backward")) < 1e-4
