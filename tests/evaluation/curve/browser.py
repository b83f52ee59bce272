"""Chromium without a window, spoken to over a pipe in DevTools messages."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """The first browser of the family on this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser and everything it complained of or asked for.

    Attributes:
        complaints: console errors and uncaught exceptions.
        requests: addresses other than the page itself and data in it.
    """

    def __init__(self, executable: str, folder: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        self._buffer = b""
        self._number = 0
        hear_end, self._say = os.pipe()
        self._hear, say_end = os.pipe()
        shell = 'exec "$0" "$@" 3<&%d 4>&%d' % (hear_end, say_end)  # noqa: UP031
        words = [executable, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", shell, *words],
            pass_fds=(hear_end, say_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(hear_end)
        os.close(say_end)
        targets = self.ask("Target.getTargets", session=None)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.ask("Target.attachToTarget", session=None, targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        """Ends the browser that this object started."""
        self._write({"id": 10**6, "method": "Browser.close"})
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._say)
        os.close(self._hear)

    def open(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        """Opens a file as a phone (below 600 px) or a desktop would show it."""
        phone = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.complaints.clear()
        self.requests.clear()
        self.ask("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._take(self._read(30))

    def value(self, expression: str) -> Any:
        """What an expression in the page comes to, as plain values."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what is in view, or of the whole page."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def ask(self, method: str, *, session: str | None = "own", **params: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer; events that come first are noted."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = self._session
        self._write(message)
        deadline = time.monotonic() + 60
        while True:
            answer = self._read(deadline - time.monotonic())
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._take(answer)

    def _write(self, message: dict[str, Any]) -> None:
        os.write(self._say, json.dumps(message).encode() + b"\0")

    def _read(self, patience: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._hear], [], [], max(patience, 0))
            assert ready, "the browser does not answer"
            part = os.read(self._hear, 1 << 20)
            assert part, "the browser has gone"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _take(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            own = url == params["documentURL"] and params["type"] == "Document"
            if not own and not url.startswith("data:"):
                self.requests.append(url)
