"""`doctor` finds what is wrong between a host and a model's answer, and says so to people and to programs."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.cli.doctor.network import listening
from ollama_mcp.cli.doctor.starts import check_start
from ollama_mcp.simulator import Simulator
from tests.cli.support import Ran, run

ORDER = [
    *("versions", "settings", "address", "dns", "tcp", "ollama", "version", "exposure", "models", "default", "chat"),
    *("gpu", "disk", "folders", "proxies", "start", "hosts"),
]


async def doctor(home: Path, url: str, *arguments: str, **variables: str) -> tuple[Ran, dict[str, dict[str, Any]]]:
    """Run it in an empty home; gives the checks by name too, of two with one name the first."""
    given = {"HOME": str(home), "OLLAMA_HOST": url, "XDG_CONFIG_HOME": str(home / ".config"), **variables}
    given |= {"CODEX_HOME": "", "CLAUDE_CONFIG_DIR": ""}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        given |= {name: variables.get(name, ""), name.lower(): variables.get(name, "")}
    os.makedirs(home, exist_ok=True)
    ran = await run("doctor", "--json", *arguments, **given)
    report = json.loads(ran.out)
    assert report["exit_code"] == ran.code, ran.out
    checks = report["checks"]
    return ran, {check["name"]: check for check in reversed(checks)}


@pytest.mark.slow
async def test_all_is_checked_in_order_and_the_model_answers(simulator: Simulator, tmp_path: Path):
    _, checks = await doctor(tmp_path / "home", simulator.url)
    assert list(reversed(checks)) == ORDER
    assert not [check for check in checks.values() if check["verdict"] == "broken"]
    assert simulator.url in checks["address"]["found"] and "environment OLLAMA_HOST" in checks["address"]["found"]
    assert "first token after" in checks["chat"]["found"] and "20 tools" in checks["start"]["found"]
    # A busy machine starts it late, which is said instead.
    assert "stdout is clean" in checks["start"]["found"] or "not every host waits" in checks["start"]["found"]
    (asked,) = [seen for seen in simulator.requests if seen.path == "/api/chat"]
    assert json.loads(asked.body)["options"] == {"num_predict": 1}


@pytest.mark.slow
async def test_an_old_ollama_is_a_warning_with_its_vulnerabilities(tmp_path: Path):
    async with Simulator(version="0.5.7") as old:
        ran, checks = await doctor(tmp_path / "home", old.url)
    assert ran.code == 1
    assert checks["version"]["verdict"] == "warning" and "CVE-2026-7482" in checks["version"]["found"]
    assert "Update Ollama" in checks["version"]["fix"]


@pytest.mark.slow
async def test_where_nothing_listens_the_way_ends_there_and_the_rest_is_checked(tmp_path: Path):
    async with Simulator() as gone:
        url = gone.url
    ran, checks = await doctor(tmp_path / "home", url)
    assert ran.code == 2
    assert checks["tcp"]["verdict"] == "broken" and "ollama serve" in checks["tcp"]["fix"]
    assert not {"ollama", "models", "chat"} & {*checks} and "start" in checks


@pytest.mark.slow
async def test_another_server_is_no_ollama(tmp_path: Path):
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ran, checks = await doctor(tmp_path / "home", f"127.0.0.1:{port}")
    assert ran.code == 2 and checks["ollama"]["verdict"] == "broken" and checks["ollama"]["fix"]


@pytest.mark.slow
async def test_no_model_and_a_default_that_is_not_installed_are_broken(simulator: Simulator, tmp_path: Path):
    ran, checks = await doctor(tmp_path / "home", simulator.url, "--set", "defaults.model=no-such:1b")
    assert ran.code == 2
    assert checks["default"]["verdict"] == "broken" and checks["default"]["fix"] == "`ollama pull no-such:1b`"
    async with Simulator(models=()) as empty:
        ran, checks = await doctor(tmp_path / "home", empty.url)
    assert ran.code == 2 and checks["models"]["found"] == "none is installed"
    assert "ollama pull llama3.2:3b" in checks["models"]["fix"]


async def test_a_wrong_setting_is_the_last_check_and_broken(tmp_path: Path):
    ran, checks = await doctor(tmp_path / "home", "127.0.0.1:1", "--set", "limits.listed=no")
    assert ran.code == 2 and list(reversed(checks)) == ["versions", "settings"]
    assert "limits.listed" in checks["settings"]["found"]


@pytest.mark.slow
async def test_a_folder_that_is_gone_and_a_proxy_for_loopback_are_warnings(simulator: Simulator, tmp_path: Path):
    gone, there = tmp_path / "gone", tmp_path / "there"
    there.mkdir()
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "example.com", "no_proxy": "example.com"}
    ran, checks = await doctor(tmp_path / "home", simulator.url, "--folders", str(gone), str(there), **proxy)
    assert ran.code == 1
    assert checks["folders"]["verdict"] == "warning" and f"{gone} is no folder" in checks["folders"]["found"]
    assert checks["proxies"]["verdict"] == "warning" and "NO_PROXY" in checks["proxies"]["fix"]


@pytest.mark.slow
async def test_without_a_home_no_host_is_looked_for(simulator: Simulator):
    ran = await run("doctor", "--json", OLLAMA_HOST=simulator.url, HOME="/no/such/home")
    (check,) = [check for check in json.loads(ran.out)["checks"] if check["name"].startswith("host")]
    assert check["verdict"] == "warning" and "no home folder" in check["found"]


@pytest.mark.slow
async def test_the_command_that_a_host_names_is_started(simulator: Simulator, tmp_path: Path):
    home = tmp_path / "home"
    (home / ".cursor").mkdir(parents=True)
    (home / ".codex").mkdir()
    entry = {"command": sys.executable, "args": ["-m", "ollama_mcp", "--read-only"], "env": {"OLLAMA_HOST": "x:1"}}
    (home / ".cursor/mcp.json").write_text(json.dumps({"mcpServers": {"ollama": entry}}), encoding="utf-8")
    toml = '[mcp_servers.ollama]\ncommand = "/no/such/ollama-mcp-server"\n'
    (home / ".codex/config.toml").write_text(toml, encoding="utf-8")
    # A file with comments, a list in YAML, another's server, and a file that is broken.
    (home / ".config/zed").mkdir(parents=True)
    zed = '// mine\n{"context_servers": {"other": {"command": "npx", "args": ["ollama-mcp-server"]}}}'
    (home / ".config/zed/settings.json").write_text(zed, encoding="utf-8")
    (home / ".continue").mkdir()
    (home / ".continue/config.yaml").write_text(
        "mcpServers:\n  - name: mine\n    command: /no/such/uvx\n    args: [ollama-mcp-server]\n", encoding="utf-8"
    )
    (home / ".gemini").mkdir()
    (home / ".gemini/settings.json").write_text("{oh", encoding="utf-8")
    ran, checks = await doctor(home, simulator.url)
    assert "host Zed" not in checks and checks["host Continue"]["verdict"] == "broken"
    assert checks["host Gemini CLI"]["verdict"] == "warning" and "line 1" in checks["host Gemini CLI"]["found"]
    assert ran.code == 2
    assert "12 tools" in checks["host Cursor"]["found"] and checks["host Cursor"]["verdict"] == "ok"
    assert checks["host Codex"]["verdict"] == "broken" and "config.toml" in checks["host Codex"]["fix"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [("print('hello')", "'hello'"), ("raise SystemExit(3)", "exit code 3")],
)
async def test_what_prints_on_stdout_or_ends_is_broken(code: str, said: str):
    check = await check_start(
        "start", [sys.executable, "-c", f"{code}\nimport ollama_mcp.cli\nollama_mcp.cli.main([])"], {}
    )
    assert check.verdict == "broken" and said in check.found and check.fix


async def test_an_address_where_something_listens_is_told_from_one_where_nothing_does(simulator: Simulator):
    port = int(simulator.url.rpartition(":")[2])
    assert await listening(["127.0.0.1"], port) == ["127.0.0.1"]
    async with Simulator() as gone:
        port = int(gone.url.rpartition(":")[2])
    assert await listening(["127.0.0.1"], port) == []


@pytest.mark.slow
async def test_people_read_lines_with_what_to_do_and_quiet_leaves_out_what_is_well(tmp_path: Path):
    async with Simulator(models=()) as empty:
        variables = {"HOME": str(tmp_path), "OLLAMA_HOST": empty.url, "NO_PROXY": "*", "no_proxy": "*"}
        whole, quiet = await asyncio.gather(run("doctor", **variables), run("doctor", "--quiet", **variables))
    assert whole.code == quiet.code == 2
    assert "ok       tcp" in whole.out and whole.out.endswith("Something is broken.\n")
    assert "BROKEN   models     none is installed\n" in quiet.out and "-> `ollama pull" in quiet.out
    assert "ok  " not in quiet.out and "\x1b" not in whole.out
