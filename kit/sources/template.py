"""How the path of a file says what it is: templates such as `{part}A/{name}.{png|tif}`.

In: the text of a template. Out: the fields of a path that fits it. In braces stands a field, which
reads any letters but a slash, or words of which one has to be there; a star stands for any letters
but a slash. A template fits the end of a path, from the beginning of a folder's or a file's name.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from kit.errors import InputError

PARTS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
"""What parts of a split are called, and what the kit calls them."""

_KINDS = {
    "part": "|".join(sorted(PARTS, key=len, reverse=True)),
    "date": r"\d{4}[-_]?\d{2}[-_]?\d{2}",
    "lon": r"-?\d+(?:\.\d+)?",
    "lat": r"-?\d+(?:\.\d+)?",
    "band": r"[A-Za-z0-9]+",
    "patch": r"[^/]+",
    "scene": r"\d+",
}
_TOKEN = re.compile(r"\{([^{}]*)\}|(\*)")
_FIELD = re.compile(r"[a-z_]+")


@dataclass(frozen=True)
class Match:
    """What a path says; `folder` is what stands before the part of it that the template reads."""

    folder: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Template:
    """A template; `where` is the file that an error about it names."""

    text: str
    where: str

    def match(self, path: str) -> Match | None:
        """The fields of a path with slashes, relative to the folder of data; None if none fits."""
        found = self._form.fullmatch(path)
        if found is None:
            return None
        fields = {name: value for name, value in found.groupdict().items() if name != "_folder"}
        return Match(found["_folder"] or "", fields)

    @property
    def fields(self) -> frozenset[str]:
        """The names of its fields."""
        return frozenset(self._form.groupindex) - {"_folder"}

    @cached_property
    def _form(self) -> re.Pattern[str]:
        seen: set[str] = set()
        parts, end = [], 0
        for token in _TOKEN.finditer(self.text):
            parts += [self._letters(end, token.start()), self._part(token, seen)]
            end = token.end()
        parts.append(self._letters(end, len(self.text)))
        return re.compile(f"(?:(?P<_folder>.*)/)?{''.join(parts)}", re.IGNORECASE)

    def _letters(self, start: int, end: int) -> str:
        """What stands between two fields."""
        text = self.text[start:end]
        if "{" in text or "}" in text:
            problem = f"{self.text!r} has a brace without its other one"
            raise InputError(self.where, problem, remedy="write a field as {name}")
        return re.escape(text)

    def _part(self, token: re.Match[str], seen: set[str]) -> str:
        inner = token[1]
        if token[2]:
            return "[^/]*"
        if "|" in inner:
            return f"(?:{'|'.join(map(re.escape, inner.split('|')))})"
        if not _FIELD.fullmatch(inner):
            problem = f"{self.text!r} has the field {{{inner}}}, which is no name in small letters"
            raise InputError(self.where, problem, remedy="write {name}, or {one|other}")
        if inner in seen:
            return f"(?P={inner})"
        seen.add(inner)
        return f"(?P<{inner}>{_KINDS.get(inner, '[^/]+?')})"
