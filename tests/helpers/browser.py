"""A real browser without a window: Chromium, driven over two pipes by its DevTools protocol.

In: a page. Out: what it logs, what a script in it finds, a screenshot, a print.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60


def find_chromium() -> str | None:
    """The program, if the machine has it."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab, and all that it has logged."""

    def __init__(self, send: int, receive: int) -> None:
        self._send = send
        self._receive = receive
        self._received = bytearray()
        self._number = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def look(self, *, width: int, dark: bool = False, scripts: bool = True) -> None:
        """Be so wide, and light or dark, from the next page on."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, a promise's when it is kept."""
        options = {"awaitPromise": True, "returnByValue": True}
        found = self.call("Runtime.evaluate", expression=script, **options)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {"ArrowRight": 39, "ArrowLeft": 37}[key]
            about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type=kind, **about)

    def screenshot(self, path: Path) -> None:
        """Write all of the page as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def print_pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def errors(self) -> list[str]:
        """What the browser has complained of since the page was opened, and what it fetched."""
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        found = [json.dumps(e["params"]) for e in self.events if e.get("method") in kinds]
        requests = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in requests]
        return found + [url for url in urls if not url.startswith(("file:", "data:"))]

    def _next(self) -> dict[str, Any]:
        while (end := self._received.find(0)) < 0:
            more = os.read(self._receive, 1 << 20)
            assert more, "the browser has ended"
            self._received += more
        message: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        return message


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Page]:
    """A page in a browser of its own, which ends with the block."""
    to_browser, send = os.pipe()
    receive, from_browser = os.pipe()
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip

    def wire() -> None:  # the browser reads from 3 and writes to 4
        os.dup2(os.dup(to_browser), 3)
        os.dup2(os.dup(from_browser), 4)

    running = subprocess.Popen(command, close_fds=False, preexec_fn=wire, stderr=subprocess.DEVNULL)
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(send, receive)
    finally:
        os.close(send)
        os.close(receive)
        running.terminate()
        running.wait(_SECONDS)
