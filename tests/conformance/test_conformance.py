"""The official conformance suite passes over our streamable HTTP transport."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import node
from tests.transports.wire import StdioPeer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_everything_that_a_version_requires_passes(version: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [sys.executable, str(Path(__file__).with_name("serve.py"))]
    with StdioPeer(str(port), command=server) as process:
        assert process.next_line().startswith("listening ")
        url = f"http://localhost:{port}/mcp"
        suite = subprocess.run(
            node.conformance("server", "--url", url, "--requirements", version, "-o", str(tmp_path)),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        process.process.terminate()
        assert suite.returncode == 0, suite.stdout[-3000:]
        assert "✓ dns-rebinding-protection: 2 passed, 0 failed" in suite.stdout
        assert process.wait() == 0
