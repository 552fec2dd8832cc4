"""A headless Chromium, driven over a pipe by the DevTools protocol: what a page looks like to a person."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, cast

SECONDS = 120


class Browser:
    """A running Chromium with one page.

    Args:
        read: The end of the pipe that its answers and events come from.
        write: The end that commands go to.

    Attributes:
        complaints: What the console and the log of the page said.
    """

    def __init__(self, read: int, write: int) -> None:
        self._in, self._out = os.fdopen(read, "rb"), os.fdopen(write, "wb")
        self._number, self._session = 0, ""
        self._seen: list[str] = []
        self.complaints: list[str] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; returns its result.

        Raises:
            AssertionError: Chromium refuses it, or has ended.
        """
        self._number += 1
        sent: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            sent["sessionId"] = self._session
        self._out.write(json.dumps(sent).encode() + b"\0")
        self._out.flush()
        while (message := self._message()).get("id") != self._number:
            pass
        assert "error" not in message, message
        return cast("dict[str, Any]", message["result"])

    def open(self, file: Path, width: int, height: int, *, dark: bool = False) -> None:
        """Open a file in a window of that size, and wait until it is loaded."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self._seen.clear()
        self.command("Page.navigate", url=file.as_uri())
        while "Page.loadEventFired" not in self._seen:
            self._message()

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; the page's own policy does not bind the protocol."""
        found = self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def picture(self) -> bytes:
        """The page as a PNG, whole."""
        return base64.b64decode(self.command("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def _message(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "Chromium has ended."
            data += byte
        message = cast("dict[str, Any]", json.loads(data))
        method = message.get("method", "")
        self._seen.append(method)
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(message["params"])[:400])
        if method == "Network.requestWillBeSent" and message["params"]["request"]["url"].startswith("http"):
            self.complaints.append(message["params"]["request"]["url"])
        return message

    def close(self) -> None:
        """Close both ends, which ends Chromium."""
        self._out.close()
        self._in.close()


@contextmanager
def browsing(command: list[str], environment: dict[str, str], folder: Path) -> Generator[Browser]:
    """A browser that runs until the end of the block, but no longer than `SECONDS`.

    Args:
        command: How it is started.
        environment: What it needs besides the environment of this process.
        folder: Where it keeps its profile.
    """
    to_read, to_write = os.pipe(), os.pipe()
    # Chromium reads commands from 3 and writes answers to 4.
    shell = f'exec "$@" 3<&{to_read[0]} 4>&{to_write[1]}'
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    process = subprocess.Popen(
        [
            "/bin/bash",
            "-c",
            shell,
            "browser",
            *command,
            *options,
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}",
        ],
        pass_fds=(to_read[0], to_write[1]),
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read[0])
    os.close(to_write[1])
    # Reading from the pipe would wait forever for one that hangs.
    limit = Timer(SECONDS, process.kill)
    limit.start()
    try:
        browser = Browser(to_write[0], to_read[1])
        try:
            yield browser
        finally:
            browser.close()
    finally:
        limit.cancel()
        process.kill()
        process.wait(timeout=60)
