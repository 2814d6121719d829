"""What a quarter of an hour on a card settles, section by section, the most valuable first.

Each section is a process of its own, so that one that fails, hangs or runs out of memory costs only
itself; it prints as it ends, and bench/gpu_check.json grows by it: a later run replaces what it
measures again, and nothing else. What would begin too late is skipped, and so is what needs a
package that is not there. `--rehearse` takes tiny networks and runs on any processor, into
bench/gpu_check.rehearsal.json.

    python bench/gpu_check.py [--minutes 14] [--rehearse] [--sections machine,steps]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import gpu_commands
import gpu_ranks
import gpu_steps
from gpu_steps import REHEARSAL, Facts, Sizes

# In order of value, and about the seconds that each takes on a card.
SECTIONS: dict[str, tuple[Callable[[Sizes], Facts], int]] = {
    "machine": (gpu_steps.machine, 10),
    "ceilings": (gpu_steps.ceilings, 15),
    "equal": (gpu_steps.equal, 45),
    "norms": (gpu_ranks.norms, 15),
    "waits": (gpu_steps.waits, 25),
    "steps": (gpu_steps.steps, 285),
    "saved": (gpu_steps.saved, 20),
    "ranks": (gpu_ranks.ranks, 30),
    "draw": (gpu_steps.draw, 30),
    "inductor": (gpu_steps.inductor, 105),
    "tests": (gpu_commands.tests, 90),
    "commands": (gpu_commands.commands, 80),
    "launched": (gpu_commands.launched, 40),
    "tuned": (gpu_steps.tuned, 35),
    "loader": (gpu_commands.loader, 15),
}
_PATIENCE = 3  # how many times those seconds a section is waited for


def main(given: Sequence[str] | None = None) -> None:
    """Run one section after the other while there is time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=14)
    parser.add_argument("--rehearse", action="store_true", help="tiny, on any processor")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a child runs this section alone
    chosen = parser.parse_args(given)
    if chosen.one:
        section, _ = SECTIONS[chosen.one]
        print(json.dumps(section(REHEARSAL if chosen.rehearse else Sizes())))
        return
    suffix = ".rehearsal.json" if chosen.rehearse else ".json"
    out: Path = chosen.out or Path(__file__).with_suffix(suffix)
    end = time.monotonic() + 60 * chosen.minutes
    found: Facts = json.loads(out.read_text()) if out.exists() else {}
    for name in chosen.sections.split(","):
        facts = run(name, chosen.rehearse, end - time.monotonic())
        print(f"{name}: {json.dumps(facts)}", flush=True)
        if _lacks(facts) and not _lacks(found.get(name, facts)):
            continue  # what an earlier run found is worth more
        found[name] = {"date": time.strftime("%Y-%m-%d"), **facts}
        part = out.with_name(f"{out.name}.part")
        part.write_text(json.dumps(found, indent=2) + "\n")
        part.replace(out)


def _lacks(facts: Facts) -> bool:
    return "skipped" in facts or "failed" in facts


def run(name: str, rehearse: bool, left: float) -> Facts:
    """What a section finds, or why it found nothing and the last that it said."""
    _, needs = SECTIONS[name]
    if left < (10 if rehearse else needs):
        return {"skipped": f"{left:.0f} s are left, and it needs about {needs}"}
    command = [sys.executable, __file__, "--one", name, *(["--rehearse"] if rehearse else [])]
    limit = min(left, _PATIENCE * needs)
    failed = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as child:
        try:
            said, complaints = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            failed = f"stopped after {limit:.0f} s"
        finally:
            # With all that it has started, which would keep the card and these pipes.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        if failed:
            said, complaints = child.communicate()
    if child.returncode and not failed:
        failed = f"exit code {child.returncode}"
    if failed:
        before = complaints.splitlines()[-30:]
        lacks = bool(before) and before[-1].startswith("ModuleNotFoundError")
        return {"skipped": before[-1]} if lacks else {"failed": failed, "before": before}
    facts: Facts = json.loads(said.splitlines()[-1])
    return facts


if __name__ == "__main__":
    main()
