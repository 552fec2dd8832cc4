"""What a serving process imports: a start may cost no more than the SDK's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.conftest import empty_home

# The libraries of images, HTTP to Ollama, tables, schema checks and settings from the environment.
LATER = {"PIL", "pillow_heif", "httpx", "httpcore", "rich", "jsonschema_rs", "pydantic_settings", "hypothesis"}
# Parts of our own that a listing of tools does not need.
OWN_LATER = (
    "ollama_mcp.simulator",
    "ollama_mcp.media",
    "ollama_mcp.access",
    "ollama_mcp.api.client",
    "ollama_mcp.cli.demo",
)
# The web stack, which the SDK imports in part for itself.
WEB = {"uvicorn", "starlette", "sse_starlette", "h11", "httpx2"}

DUMP = "import json, os, sys; os.write(2, b'\\n' + json.dumps(sorted({*sys.modules} - aside)).encode())"
# On a busy machine the loading ahead begins before the client is gone: what it imports is not what the start does.
ASIDE = """
import sys, threading
aside = set()
class Aside:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread().name == "preload":
            aside.add(name)
sys.meta_path.insert(0, Aside())
"""
SERVE = f"from ollama_mcp.cli import main; assert main([]) == 0; {DUMP}"
BARE = f"import mcp.server; {DUMP}"


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


CLIENT = {"name": "packaging", "version": "1"}
INITIALIZE = request(0, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=CLIENT)
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST = request(1, "tools/list")
STATUS = request(2, "tools/call", name="ollama_status", arguments={})


def imported(folder: Path, code: str, *messages: dict[str, Any]) -> set[str]:
    """The modules of a process that ran code in a folder, once it has answered messages over stdio."""
    # A port where nothing listens: what is asked here is only what gets imported.
    variables = {**empty_home(folder), "OLLAMA_HOST": "http://127.0.0.1:9"}
    ids = [message["id"] for message in messages if "id" in message]
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", ASIDE + code]
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write("".join(f"{json.dumps(message)}\n" for message in messages))
        process.stdin.flush()
        # The client stays until it has its answers: a call in flight is cancelled when stdin closes.
        answers = [json.loads(process.stdout.readline()) for _ in ids]
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert [answer["id"] for answer in answers] == ids
    assert all("result" in answer for answer in answers), answers
    return set(json.loads(errors.splitlines()[-1]))


def libraries(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize("messages", [(INITIALIZE,), (INITIALIZE, INITIALIZED, LIST)], ids=["initialize", "tools/list"])
def test_what_a_start_does_not_need_is_not_imported(messages: tuple[dict[str, Any], ...], tmp_path: Path) -> None:
    modules = imported(tmp_path, SERVE, *messages)
    assert not libraries(modules) & LATER
    assert not [module for module in modules if module.startswith(OWN_LATER)]


def test_of_the_web_stack_only_what_the_sdk_itself_takes_is_imported(tmp_path: Path) -> None:
    bare = imported(tmp_path, BARE)
    serving = imported(tmp_path, SERVE, INITIALIZE, INITIALIZED, LIST)
    assert {module for module in serving - bare if module.split(".")[0] in WEB} == set()
    assert not libraries(serving) & {"uvicorn", "click"}


def test_the_http_client_is_imported_with_the_first_call(tmp_path: Path) -> None:
    modules = imported(tmp_path, SERVE, INITIALIZE, INITIALIZED, STATUS)
    # httpx takes rich along for a command of its own, wherever rich and click are installed.
    assert libraries(modules) & LATER - {"rich"} == {"httpx", "httpcore"}


def test_where_uvloop_is_not_installed_asyncio_serves(tmp_path: Path) -> None:
    without = imported(tmp_path, f"import sys; sys.modules['uvloop'] = None; {SERVE}", INITIALIZE, INITIALIZED, STATUS)
    assert "uvloop.loop" not in without


# Says so once the last of what is loaded in the background is there.
WATCH = """
import os, sys, threading, time
aside = set()
def watch():
    while "ollama_mcp.work.batch.run" not in sys.modules:
        time.sleep(0.01)
    os.write(2, b"loaded\\n")
threading.Thread(target=watch, daemon=True).start()
"""


def test_what_the_first_calls_need_is_loaded_once_the_tools_were_listed(tmp_path: Path) -> None:
    variables = {**empty_home(tmp_path), "OLLAMA_HOST": "http://127.0.0.1:9"}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WATCH + SERVE]
    with subprocess.Popen(
        command, cwd=tmp_path, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdin and process.stderr
        process.stdin.write("".join(f"{json.dumps(message)}\n" for message in (INITIALIZE, INITIALIZED, LIST)))
        process.stdin.flush()
        assert process.stderr.readline() == "loaded\n"
        _, errors = process.communicate()
    modules = set(json.loads(errors.splitlines()[-1]))
    assert {"ollama_mcp.work.batch.run", "ollama_mcp.api.transport", "filelock"} <= modules
    # Images and schema checks are for few calls.
    assert not libraries(modules) & {"PIL", "pillow_heif", "jsonschema_rs", "pydantic_settings"}
