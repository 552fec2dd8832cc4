"""The official conformance suite passes over our streamable HTTP transport."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance import node
from tests.transports.wire import StdioPeer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Each scenario of tasks, with how many checks of it pass. The one without any is skipped by the suite, which waits for
# a rewrite of it; tests/tasks/test_wire.py holds what it is about.
TASK_SCENARIOS = {
    "tasks-lifecycle": 9,
    "tasks-capability-negotiation": 5,
    "tasks-wire-fields": 4,
    "tasks-request-state-removal": 3,
    "tasks-mrtr-input": 4,
    "tasks-request-headers": 5,
    "tasks-dispatch-and-envelope": 9,
    "tasks-status-notifications": 0,
    "tasks-required-task-error": 3,
    "tasks-mrtr-composition": 2,
}


@contextmanager
def serving(script: str) -> Generator[str]:
    """The address of a server of the suite's tools, in a process that ends well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [sys.executable, str(Path(__file__).with_name(script))]
    with StdioPeer(str(port), command=server) as process:
        assert process.next_line().startswith("listening ")
        yield f"http://localhost:{port}/mcp"
        process.process.terminate()
        assert process.wait() == 0


def run_suite(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = node.conformance("server", "--url", url, *options)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_everything_that_a_version_requires_passes(version: str, tmp_path: Path) -> None:
    with serving("serve.py") as url:
        suite = run_suite(url, "--requirements", version, "-o", str(tmp_path))
        assert suite.returncode == 0, suite.stdout[-3000:]
        assert "✓ dns-rebinding-protection: 2 passed, 0 failed" in suite.stdout


def test_every_scenario_of_tasks_passes_on_our_own_server(tmp_path: Path) -> None:
    # Skips here where npm cannot be reached.
    node.conformance()
    with serving("serve_tasks.py") as url, ThreadPoolExecutor(2) as runs:
        started = {
            name: runs.submit(run_suite, url, "--scenario", name, "-o", str(tmp_path)) for name in TASK_SCENARIOS
        }
        for name, checks in TASK_SCENARIOS.items():
            suite = started[name].result()
            assert suite.returncode == 0, suite.stdout[-3000:]
            assert f"Passed: {checks}/{checks}, 0 failed, 0 warnings" in suite.stdout, name
