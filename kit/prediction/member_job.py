"""The part of one member in a prediction: its folder, its engine, and the scenes still to do.

In: weights, and scenes as they are read. Out: `<scene>.npy` for each, and the manifest. What the
manifest will say of a scene is first a line in `done-<rank>.jsonl`, one such file a process, so
that nothing is forgotten when one is killed; the first process gathers these lines.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kit.engines.backend import Plan, Spec
from kit.engines.engine import Engine
from kit.errors import BusyError, CheckError
from kit.files import append, read_json, sweep_parts, write_json
from kit.models.infer import infer_batches
from kit.prediction.pipeline import Reading, Writer
from kit.progress import Report
from kit.runs.weights import Weights
from kit.scaling import SCALING
from kit.tiles.fingerprint import sizes_and_times
from kit.tiles.names import SceneKey
from kit.tiles.rejection import Rejection
from kit.tiles.scenes import Scene
from kit.variants import to_dict

MANIFEST = "manifest.json"
_DONE = "done-*.jsonl"
_REMEDY = "predict with --overwrite"


class Job:
    """One member of an ensemble, predicted by this process and maybe others."""

    def __init__(
        self, folder: Path, weights: Weights, rank: int, report: Report = lambda _: None
    ) -> None:
        self.folder = folder
        self.weights = weights
        self.engine: Engine | None = None
        self.todo: set[SceneKey] = set()
        self._log = folder / _DONE.replace("*", str(rank))
        self._report = report
        self._logged: set[tuple[str, Spec, Plan]] = set()
        self._waiting: list[Reading] = []
        # Tiles of another size than most are not worth an engine of their own.
        self._eager: Engine | None = None
        self._odd: list[Reading] = []

    def claim(
        self, scenes: Mapping[SceneKey, Scene], data: Path, runs: Path, overwrite: bool
    ) -> None:
        """Make the folder, which the caller has locked, that of these weights and scenes.

        What is done already is kept, where it was drawn from the same tiles.

        Raises:
            BusyError: it holds predictions by other weights or of other tiles.
        """
        path = self.folder / MANIFEST
        old: dict[str, Any] = {}
        # Of weights that could not be read there may be a manifest and no picture.
        if overwrite or not any(self.folder.glob("*.npy")):
            self._forget()
        elif path.exists():
            old = read_json(path, _REMEDY)
        facts = {
            "variant": self.weights.variant.name,
            "weights_sha256": self.weights.sha256,
            "pairs_sha256": _trained_on(runs, self.weights),
            "config": to_dict(self.weights.variant),
            "scaling": SCALING,
            "target": self.weights.variant.target,
            "mean_color": list(self.weights.facts["mean_color"]),
            "input": str(data.resolve()),
        }
        for name in ("weights_sha256", "input") if old else ():
            if old.get(name) != facts[name]:
                other = {"weights_sha256": "by other weights", "input": f"of {old.get('input')}"}
                remedy = "give --overwrite, or another folder with --predictions"
                raise BusyError(f"{self.folder}: holds predictions {other[name]}\n  {remedy}")
        self._gather(old)
        sweep_parts(self.folder)
        before = old.get("scenes", {})
        entries = {}
        for key, scene in scenes.items():
            entry = {"tiles": sizes_and_times(scene.files), "nodata": None}
            known = before.get(str(key), entry)
            # Nodata is unknown where nothing was drawn, and where what was noted of it got lost.
            if known.get("tiles") == entry["tiles"] and known.get("nodata") is not None:
                entry = known
            else:
                # An array of other tiles must be gone before the manifest claims it for these.
                self._image(key).unlink(missing_ok=True)
            entries[str(key)] = entry
        # Those of before made what is not done again; older kits did not say which they were.
        engines = old.get("engines", [{"name": "unknown"}] if before else [])
        write_json(path, facts | {"engines": engines, "rejected": [], "scenes": entries})
        self._forget()

    def lacks(self, scene: SceneKey) -> bool:
        """Whether a scene is still to be drawn, in a folder that has been claimed."""
        return not self._image(scene).exists()

    def manifest(self) -> dict[str, Any]:
        """What the folder's manifest says."""
        found: dict[str, Any] = read_json(self.folder / MANIFEST, _REMEDY)
        return found

    def take(self, reading: Reading, writer: Writer) -> int:
        """Draw a scene, or keep it until a batch is full; returns how many were drawn."""
        if reading.scene.key not in self.todo:
            return 0
        self.todo.discard(reading.scene.key)
        height, width = reading.radar.shape[1:]
        drawn = 0
        if self.engine and self.engine.fits(height, width):
            engine, waiting = self.engine, self._waiting
        else:
            if not (self._eager and self._eager.fits(height, width)):
                drawn = self._draw(self._odd, self._eager, writer)
                self._eager = Engine.eager(self.weights, (height, width), self._report)
            engine, waiting = self._eager, self._odd
        waiting.append(reading)
        if len(waiting) < engine.batch:
            return drawn
        return drawn + self._draw(waiting, engine, writer)

    def reject(self, scene: Scene, why: Rejection) -> None:
        """Leave a scene out, for a reason that the manifest will tell."""
        if scene.key in self.todo:
            self.todo.discard(scene.key)
            self._note({"scene": str(scene.key), "rejected": asdict(why)})

    def drain(self, writer: Writer) -> int:
        """Draw what is still waiting for a full batch; returns how many that were."""
        drawn = self._draw(self._waiting, self.engine, writer)
        return drawn + self._draw(self._odd, self._eager, writer)

    def finish(self) -> None:
        """Gather what every process did into the manifest, and check that nothing is missing.

        Raises:
            CheckError: a scene is neither drawn nor left out.
        """
        found = self.manifest()
        self._gather(found)
        for left_out in found["rejected"]:
            found["scenes"].pop(left_out["scene"], None)
        scenes = found["scenes"]
        lost = [
            scene
            for scene, entry in scenes.items()
            if entry["nodata"] is None or not self._image(scene).exists()
        ]
        if lost:
            raise CheckError(
                f"{self.folder}: {len(lost)} of {len(scenes)} scenes are missing, {lost[0]} first\n"
                "  predict again; what is there is kept"
            )
        write_json(self.folder / MANIFEST, found)
        for path in self.folder.glob(_DONE):
            path.unlink()

    def _draw(self, waiting: list[Reading], engine: Engine | None, writer: Writer) -> int:
        taken = waiting.copy()
        waiting.clear()
        if not (taken and engine):
            return 0
        rgb = infer_batches(engine, np.stack([reading.radar for reading in taken]), engine.batch)
        if not np.isfinite(rgb).all():
            raise CheckError(f"{self.folder}: the generator's output is not a number\n"
                             f"  train {self.folder.name} again, with a smaller lr")  # fmt: skip
        # Before the pictures, so that none is there of an engine that the manifest does not name.
        what = (engine.name, engine.spec, engine.plan)
        if what not in self._logged:
            self._note({"engine": engine.describe()})
            self._logged.add(what)
        for reading, image in zip(taken, rgb, strict=True):
            note = {"scene": str(reading.scene.key), "nodata": reading.nodata}
            writer.put(self._image(reading.scene.key), image, partial(self._note, note))
        return len(taken)

    def _note(self, line: Mapping[str, Any]) -> None:
        append(self._log, (json.dumps(line) + "\n").encode())

    def _gather(self, manifest: dict[str, Any]) -> None:
        """Take what the processes noted into a manifest."""
        scenes = manifest.get("scenes", {})
        for line in self._notes():
            if "engine" in line:
                engines = manifest.setdefault("engines", [])
                if line["engine"] not in engines:
                    engines.append(line["engine"])
            elif "rejected" in line:
                left_out = {"scene": line["scene"], **line["rejected"]}
                manifest.setdefault("rejected", []).append(left_out)
            elif line["scene"] in scenes:
                scenes[line["scene"]]["nodata"] = line["nodata"]

    def _notes(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob(_DONE)):
            for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    yield json.loads(text)
                except ValueError:
                    continue  # a kill cut it short: what it was about is not done

    def _image(self, scene: SceneKey | str) -> Path:
        return self.folder / f"{scene}.npy"

    def _forget(self) -> None:
        for path in self.folder.glob(_DONE):
            path.unlink()


def _trained_on(runs: Path, weights: Weights) -> str | None:
    """The fingerprint of the pairs that the weights were trained on; None if nothing says it."""
    path = runs / weights.variant.name / "config.json"
    config = read_json(path, "restore it, or remove it") if path.exists() else {}
    found = config.get("pairs_sha256") if isinstance(config, dict) else None
    return found if isinstance(found, str) else None
