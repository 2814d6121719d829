"""`predictions/<variant>/done-<rank>.jsonl`: what the processes of a prediction have done so far.

In: an engine, a scene that is predicted or left out; one line each, appended before the image is
written, so that a killed process leaves no image that nothing describes. Out: a manifest that holds
what all lines say. The files exist only while a prediction is not finished.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit.prediction.manifest import SCENE_VALUES, Manifest
from kit.storage.files import append_line
from kit.storage.seal import decode_lines, encode_line
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection

_FILES = "done-*.jsonl"


class Journal:
    """The lines of one process, `rank`, and a view of those of all."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._folder = folder
        self._file = folder / _FILES.replace("*", str(rank))

    def add_engine(self, description: Mapping[str, Any]) -> None:
        """Record an engine that is about to predict."""
        self._append({"engine": description})

    def add_scene(
        self,
        scene: SceneKey,
        nodata: float,
        values: Sequence[int],
        facts: Mapping[str, Any],
        output: str,
    ) -> None:
        """Record a scene that is predicted.

        Args:
            scene: which.
            nodata: the share of its pixels without data.
            values: the counts [7] of its radar by `kit.tiles.values`.
            facts: of what the network was given, as `Input` has them.
            output: the digest of the prediction.
        """
        line = {"scene": str(scene), "nodata": nodata, "values": [*values]}
        self._append(line | {**facts, "sha256": output})

    def add_rejection(self, scene: SceneKey, rejection: Rejection) -> None:
        """Record a scene that is left out."""
        self._append({"scene": str(scene), "rejected": asdict(rejection)})

    def apply(self, manifest: Manifest) -> None:
        """Enter what the lines of all processes say into a manifest."""
        for line in self._lines():
            if "engine" in line:
                engines = manifest.engines = manifest.engines or []
                if line["engine"] not in engines:
                    engines.append(line["engine"])
            elif "rejected" in line:
                manifest.rejected.append({"scene": line["scene"], **line["rejected"]})
            elif line["scene"] in manifest.scenes:
                values = {name: line[name] for name in SCENE_VALUES if name in line}
                manifest.scenes[line["scene"]] |= values

    def clear(self) -> None:
        """Remove the files of all processes."""
        for path in self._folder.glob(_FILES):
            path.unlink()

    def _append(self, line: Mapping[str, Any]) -> None:
        append_line(self._file, encode_line(line))

    def _lines(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._folder.glob(_FILES)):
            # A line that a kill cut short, or that is damaged, vouches for no image.
            yield from (line for _, line in decode_lines(path.read_bytes()) if line)
