"""The fields of a variant as a user reads of them: in `kit variants --fields` and in the docs.

In: `kit.variants.settings.Variant`. Out: name, type and default of each field, and the line that
documents it there.
"""

import ast
import dataclasses
import inspect
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin, get_type_hints

from kit.variants.settings import Variant


@dataclass(frozen=True, slots=True)
class Field:
    """One field of `Variant`, for a user who sets it; `default` is None where there is none."""

    name: str
    type: str
    default: Any
    doc: str


def fields() -> tuple[Field, ...]:
    """The fields of `Variant` in order, each with the line that documents it there."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(Variant))).body
    assert isinstance(body, ast.ClassDef)
    docs = {
        field.target.id: line.value.value
        for field, line in pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    }  # fmt: skip
    hints = get_type_hints(Variant)
    return tuple(
        Field(
            each.name,
            _described(hints[each.name]),
            None if each.default is dataclasses.MISSING else each.default,
            str(docs[each.name]),
        )
        for each in dataclasses.fields(Variant)
    )


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if ... in get_args(hint):
        return "whole numbers"
    return f"{len(get_args(hint))} numbers" if get_args(hint) else str(hint.__name__)
