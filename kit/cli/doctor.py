"""kit doctor: what this machine will use, and why."""

from dataclasses import asdict

import typer

from kit.cli import console
from kit.cli.options import Json, Quiet

app = typer.Typer()


@app.command(epilog="Example: kit doctor")
def doctor(json: Json = False, quiet: Quiet = False) -> None:
    """Report what this machine will use, and why."""
    from kit.cli.machine import inspect

    emit = console.start(json, quiet)
    findings = inspect()
    emit([asdict(finding) for finding in findings])
    rows = [(finding.name, finding.value, finding.why) for finding in findings]
    console.table("This machine", ("", "", "why"), rows)
