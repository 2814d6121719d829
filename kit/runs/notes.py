"""`notes.jsonl` in the folder of a run: what somebody wanted to remember of it.

In: a note. Out: a line with its time, the run's name and a checksum; and the notes again, of a run
or of all folds of a variant.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

from kit.runs.lines import append_to, read_from
from kit.variants.fold_names import fold_folders

NOTES = "notes.jsonl"


@dataclass(frozen=True, slots=True)
class Note:
    """A note, and when it was written, `YYYY-MM-DDThh:mm:ss` in UTC."""

    time: str
    text: str


def add_note(folder: Path, text: str) -> None:
    """Add a note to the run in `folder`; one that is the newest already is not repeated.

    Raises:
        OutputError: it cannot be written.
    """
    before = read_notes(folder)
    if not text.strip() or (before and before[-1].text == text):
        return
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    append_to(folder / NOTES, {"time": now, "note": text})


def read_notes(folder: Path) -> tuple[Note, ...]:
    """The notes of the run in `folder`, the oldest first; those that are damaged are left out."""
    return tuple(
        Note(record["time"], record["note"])
        for record in read_from(folder / NOTES)
        if isinstance(record.get("time"), str) and isinstance(record.get("note"), str)
    )


def notes_of(runs: Path, name: str) -> tuple[str, ...]:
    """The texts of the notes of a run and of the folds of a variant of this name, each once."""
    folders = [runs / name, *fold_folders(runs, name)]
    return tuple(dict.fromkeys(note.text for folder in folders for note in read_notes(folder)))
