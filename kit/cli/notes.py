"""Notes of runs and of submissions, wherever these are listed."""

from collections.abc import Mapping, Sequence

from kit.cli import console


def show_notes(notes: Mapping[str, Sequence[str]]) -> None:
    """Print the notes by what they are on, one line each."""
    for name, texts in notes.items():
        for text in texts:
            console.write(f"note on {name}: {text}")
