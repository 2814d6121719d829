"""Ctrl-C is answered at once, and at its end stands the command that goes on."""

import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kit.cli.interrupt import acknowledged, resume_line
from kit.training.child import for_child


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("train spade2 --set width=8", "interrupted; to go on: kit train spade2 --set width=8"),
        ("predict --overwrite --input a", "interrupted; to go on: kit predict --input a"),
        ("package --overwrite", "interrupted; to start again: kit package --overwrite"),
        ("", "interrupted; to start again: kit"),
    ],
)
def test_the_line_names_one_command(arguments: str, line: str) -> None:
    assert resume_line(arguments.split()) == line


def test_arguments_are_quoted_for_the_shell() -> None:
    assert resume_line(["screen", "my tiles"]).endswith("kit screen 'my tiles'")


def test_of_torchrun_the_kit_does_not_know_the_options(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert resume_line(["train", "spade2"]).endswith("the same torchrun command again")


def test_ctrl_c_is_answered_while_no_handler_can_run() -> None:
    """The main thread computes in C, as in a training step, for a minute or more."""
    code = (
        "import hashlib\n"
        "from kit.cli.interrupt import acknowledged\n"
        "with acknowledged():\n"
        "    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGINT)
            assert process.stderr and select.select([process.stderr], [], [], 30)[0]
            assert (
                process.stderr.readline() == b"interrupted: stopping once what is done is saved\n"
            )
            assert process.poll() is None
        finally:
            process.kill()


def test_what_waited_for_signals_before_does_so_afterwards() -> None:
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with acknowledged():
        pass
    after = signal.set_wakeup_fd(before)
    assert after == before


def test_what_train_all_has_started_leaves_the_answer_to_it(monkeypatch) -> None:
    for name, value in for_child(Path("runs"), None).items():
        monkeypatch.setenv(name, value)
    threads = threading.active_count()
    with acknowledged():
        assert threading.active_count() == threads
