"""What the kit says of itself, as Markdown for the pages that ask for it."""

import ast
import dataclasses
import importlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import typer

import kit
from kit.archive.layout import LAYOUTS, Layout
from kit.variants.fields import fields
from kit.variants.registry import PAPER, VARIANTS
from kit.variants.settings import value_text

ROOT = Path(__file__).parents[1]


def commands() -> str:
    """Every command of `kit`: what it does, its usage, arguments, options and example."""
    return "\n".join(line for name, command in _commands() for line in _command(name, command))


def settings() -> str:
    """The fields of a variant: type, meaning, and the value that the five of the paper share."""
    rows = []
    for field in fields():
        values = [getattr(VARIANTS[name], field.name) for name in PAPER]
        shown = f"`{value_text(values[0])}`" if len(set(values)) == 1 else "differs"
        rows.append((f"`{field.name}`", field.type, shown, field.doc))
    return _table(("field", "type", "value", "meaning"), rows)


def layouts() -> str:
    """The fields of a layout, and their values for each server."""
    rows = [
        (f"`{field.name}`", *(f"`{getattr(layout, field.name)}`" for layout in LAYOUTS.values()))
        for field in dataclasses.fields(Layout)
    ]
    return _table(("field", *(f"`{name}`" for name in LAYOUTS)), rows)


def modules() -> str:
    """Every module of the kit, folder by folder, with the first line of its docstring."""
    root = Path(kit.__file__).parent
    rows: list[tuple[str, str]] = []
    for path in sorted(root.rglob("*.py"), key=lambda path: (path.parent, path)):
        title = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if title:
            name = f"`{path.relative_to(root.parent).as_posix()}`"
            rows.append((name, title.partition("\n\n")[0].replace("\n", " ")))
    return _table(("file", "what it does"), rows)


def rules() -> str:
    """Which folders each folder may import, as the test of it has them."""
    tree = ast.parse((ROOT / "tests" / "test_layers.py").read_text(encoding="utf-8"))
    (found,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "RULES" and node.value
    ]
    rows = [
        (f"`kit/{folder}/`", "everything" if "*" in others else _listed(others))
        for folder, others in found.items()
        if folder
    ]
    return _table(("folder", "may import"), rows)


SECTIONS = {
    "rules": rules,
    "modules": modules,
    "commands": commands,
    "settings": settings,
    "layouts": layouts,
}


def _commands() -> Iterator[tuple[str, Any]]:
    (script,) = entry_points(group="console_scripts", name="kit")
    app = importlib.import_module(script.module).app
    yield from typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"## kit {name}\n"
    yield f"{command.help}\n"
    usage = " ".join(["kit", name, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(f"`{left}`", right) for left, right in filter(None, records) if "--help" not in left]
    yield _table(("argument or option", "meaning"), rows) + "\n"
    yield f"Example: `{command.epilog.removeprefix('Example: ')}`\n"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "no other folder"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
