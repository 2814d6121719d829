"""Commands of the kit on a system that fails on demand, each in a process of its own.

A server with the modules imported and `faults.c` preloaded forks a process for each run, which
takes milliseconds where starting Python and torch takes seconds. What a run has imported, the
server imports before the next.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.helpers.variants import TINY

KILL = -1
"""In place of an error: the process is killed before the operation."""
SHIM = Path(__file__).with_name("faults.c")
# What differs from run to run: times of the clock and durations.
_TIMES = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:[\d:.+]+|\"(?:images_per_s|rate|\w+_s)\": [\d.]+|\"check\": \"\w+\""
)
_SERVER = '''
import contextlib, ctypes, functools, gc, hashlib, importlib, json, os, sys, traceback
import torch, typer.main
import kit.cli.main
from kit.screening import ukis
from tests.helpers.detector import Fake

# Its networks take seconds, and write nothing.
detector = Fake()
ukis.version, ukis.classes = (lambda: detector.version), detector.classes
torch.set_num_threads(1)

def convert_once(openvino, folder):
    """Converting takes four seconds, and writes nothing: what came of it is read again."""
    convert = openvino.convert_model

    def converted(program):
        digest = hashlib.sha256()
        for name, tensor in program.state_dict.items():
            digest.update(name.encode() + tensor.numpy(force=True).tobytes())
        path = os.path.join(folder, digest.hexdigest() + ".xml")
        if not os.path.exists(path):
            openvino.save_model(convert(program), path, compress_to_fp16=False)
        return openvino.Core().read_model(path)

    openvino.convert_model = converted

with contextlib.suppress(ImportError):
    import openvino
    convert_once(openvino, os.path.dirname(sys.argv[1]))
# What every command would do again: build the command line, import, look at what is imported.
typer.main.get_command = functools.cache(typer.main.get_command)
typer.main.get_command(kit.cli.main.app)
imported = set(sys.modules)

shim = ctypes.CDLL(sys.argv[1])
shim.faults_failed.restype = ctypes.c_char_p
shim.faults_count.restype = ctypes.c_long

def run(job):
    os.chdir(job["folder"])
    sys.argv = ["kit", *job["arguments"]]
    with open(job["told"], "wb") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    shim.faults_arm(job["root"].encode(), ctypes.c_long(job["at"]), job["error"])
    try:
        kit.cli.main.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        pass
    result = {"code": code, "count": shim.faults_count(), "failed": shim.faults_failed().decode()}
    shim.faults_arm(b"", ctypes.c_long(0), 0)
    with open(job["imports"], "w") as file:
        json.dump([name for name in list(sys.modules) if name not in imported], file)
    with open(job["result"], "w") as file:
        json.dump(result, file)
    os._exit(0)

def learn(job):
    with contextlib.suppress(FileNotFoundError), open(job["imports"]) as file:
        for name in json.load(file):
            imported.add(name)
            with contextlib.suppress(Exception):  # some cannot be imported alone
                importlib.import_module(name)
        os.unlink(job["imports"])
        gc.collect()
        gc.freeze()

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        run(job)
    os.waitpid(child, 0)
    learn(job)
    print("done", flush=True)
'''


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it printed, and which of how many operations failed."""

    code: int
    told: str
    count: int
    failed: str


class Commands:
    """Runs commands of the kit on a system that fails."""

    def __init__(self, server: "subprocess.Popen[str]", scratch: Path) -> None:
        self._server = server
        self._scratch = scratch

    def run(self, folder: Path, arguments: Sequence[str], at: int = 0, error: int = 0) -> Ended:
        """Run `kit` in a folder; its operation number `at` below that folder fails."""
        told, result = self._scratch / "told", self._scratch / "result"
        result.unlink(missing_ok=True)
        job = {
            "folder": str(folder),
            "root": os.path.realpath(folder),
            "arguments": [*arguments],
            "at": at,
            "error": error,
            "told": str(told),
            "result": str(result),
            "imports": str(self._scratch / "imports"),
        }
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        ended = self._server.stdout.readline()
        assert ended == "done\n", f"the server ended: {(self._scratch / 'server').read_text()}"
        text = told.read_text(errors="replace")
        if error == KILL and not result.exists():
            return Ended(-signal.SIGKILL, text, 0, "")
        assert result.exists(), f"kit {' '.join(arguments)} crashed: {text}"
        return Ended(told=text, **json.loads(result.read_text()))


@contextmanager
def failing_system(scratch: Path) -> Iterator[Commands]:
    """The server; skips the test where there is no C compiler or no preloading."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and Linux")
    library = scratch / "faults.so"
    command = [compiler, "-shared", "-fPIC", "-O1", str(SHIM), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(library)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(scratch / "server").open("w"),
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stdout and server.stdout.readline() == "ready\n"
        yield Commands(server, scratch)
    finally:
        assert server.stdin
        server.stdin.close()
        server.wait()


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for locks, with what differs from run to run left out."""
    return {
        str(path.relative_to(folder)): _lasting(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and not path.is_symlink()
    }


def _lasting(path: Path) -> bytes:
    if path.name in ("metrics.jsonl", "state.json", "engine.json"):  # rates, and what they decide
        return b""
    is_whole = not any(part.endswith(".part") for part in path.parts)
    if path.suffix == ".pth" and is_whole:  # it names each tensor by its address in memory
        state = torch.load(path, weights_only=True)
        return b"".join(name.encode() + x.numpy().tobytes() for name, x in state.items())
    data = path.read_bytes()
    if path.suffix in (".npy", ".png"):
        return data
    # Searching in megabytes of numbers would take most of the time of a test.
    text = 8 + int.from_bytes(data[:8], "little") if path.suffix == ".safetensors" else len(data)
    data = _TIMES.sub(b"", data[:text]) + data[text:]
    # A repeated command adds a line of the same archive, which counts as one with the first.
    return b"\n".join(sorted({*data.splitlines()})) if path.name == "submissions.csv" else data


SCORED = "submissions/mine.zip truth --sheet s.png --per-scene s.parquet --mapping map/m.json"
SETTINGS = tuple(part for text in TINY for part in ("--set", text))
EAGER = ("--backend", "eager", "--precision", "float32")
NEEDED = {"onnx": "onnxscript", "engine": "openvino"}
"""What a command needs beside the kit; without it, its tests skip."""
# Every command that writes, over results of before; `other` holds tiles of other places.
COMMANDS = {
    "simulate": "simulate made --places 1 --test-places 1 --dates 1 --size 32",
    "screen": "screen other --sheet screen.png",
    "detector": "screen other --detector ukis",
    "prepare": "prepare other --holdout 2",
    "pack": "pack",
    "train": f"train p2phd1 --overwrite {' '.join(SETTINGS)} --set batch=12 --set seed=3",
    "fit": "fit p2phd1 --measure mae --name fitted",
    "predict": f"predict --ensemble p2phd1 --input other --overwrite {' '.join(EAGER)}",
    "package": "package --name mine --layout plain --overwrite",
    "score": f"score {SCORED}",
    "codabench": "score bundle scores --codabench",
    "log": "log mine --leaderboard 0.05",
    "note": "log mine --note again",
    "reproduce": "reproduce submissions/mine.json --out again.zip",
    "export": "export p2phd1 exported --overwrite",
    "engine": "compile p2phd1 --backend openvino --precision float32",
    "onnx": "compile p2phd1 --export onnx p2phd1.onnx --overwrite",
    "import": "import exported/net_G.pth --as mine --overwrite",
    "validate": "validate p2phd1",
    "pictures": "prepare pictures --work imported-work --holdout 2",
    "translate": "translate scene.tif out.tif --variant p2phd1 --size 32 --overwrite "
    + " ".join(EAGER),
    "show": "show -55.00_-4.00_2020_06_01 -o show.png --geotiff qgis",
    "report": "report",
}
WRITE_NOTHING = {"check", "compare", "doctor", "leaderboard", "status", "variants", "verify"}
OF_OTHERS = {"compete", "plan", "train-all"}
"""They write a plan, which `test_outputs` is about, and run the others."""
