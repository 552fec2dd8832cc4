"""The command: making tokens, and starts that need them or refuse to go without."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ollama_mcp.cli import main
from ollama_mcp.server.auth.token_file import add_token, read_tokens
from ollama_mcp.simulator import Simulator
from tests.transports.wire import ROOT, HttpPeer, StdioPeer, environment, modern

COMMAND = [sys.executable, "-m", "ollama_mcp"]
LISTENS = "ollama-mcp-server listens at "


def home(folder: Path) -> dict[str, str]:
    """Variables of a user whose config folder is empty."""
    kept = {name: value for name, value in environment().items() if not name.startswith("OLLAMA_MCP")}
    return {**kept, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A run of the command to its end."""
    env = {**home(folder), **variables}
    command = [*COMMAND, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def serving(folder: Path, *arguments: str, command: list[str] = COMMAND) -> Generator[tuple[StdioPeer, HttpPeer, str]]:
    """A server process, a client of it, and what it said before it listened."""
    command = [*command, "--transport", "http", "--port", "0", *arguments]
    with StdioPeer(command=command, env=home(folder)) as process:
        said: list[str] = []
        while not (line := process.next_line()).startswith(LISTENS):
            said.append(line)
        parts = urlsplit(line.removeprefix(LISTENS))
        assert parts.port
        yield process, HttpPeer(parts.port), "\n".join(said)
        process.process.terminate()
        assert process.wait() == 0


def asked(peer: HttpPeer, token: str = "") -> int:
    """The status that a request gets."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return asyncio.run(peer.post(modern(1, "server/discover"), "modern", **headers)).status


def test_a_token_is_made_listed_and_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def token(*arguments: str) -> tuple[int, str, str]:
        code = main(["token", *arguments])
        out, said = capsys.readouterr()
        return code, out, said

    code, out, said = token("add", "ann", "--scope", "use,manage")
    secret = out.strip()
    assert (code, secret[:5], "\n" in secret) == (0, "omcp_", False)
    assert secret not in said and "shown only now" in said and "next start" in said
    assert token("list")[1].startswith("ann  use,manage  20")
    assert token("add", "bob")[2].count("\n") == 1
    why = "ollama-mcp-server: There is no scope 'admin'. Scopes: read, use, manage, files, metrics.\n"
    assert token("add", "eve", "--scope", "admin") == (2, "", why)
    assert token("revoke")[0] == 2
    assert "ann is revoked" in token("revoke", "ann")[1]
    assert token("list")[1].startswith("bob  read,use  20")
    elsewhere = tmp_path / "team"
    assert token("add", "eve", "--set", f"auth.tokens={elsewhere}")[0] == 0
    assert [one.name for one in read_tokens(elsewhere)] == ["eve"]


def test_config_check_tells_what_a_start_over_http_would_refuse(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def check(*given: str) -> str:
        pairs = [part for pair in ("transport=http", *given) for part in ("--set", pair)]
        code = main(["config", "check", *pairs])
        said = capsys.readouterr()
        assert code == (2 if said.err else 0)
        return said.err

    assert check() == ""
    assert "no client would need a token" in check("http.host=0.0.0.0")
    assert "auth.issuer needs auth.audience" in check("auth.issuer=https://id.example")
    assert "TLS certificate cannot be used" in check("http.tls_certificate=/nowhere.pem")
    assert "cannot be read" in check(f"auth.tokens={tmp_path / 'nowhere'}")
    assert check("auth.token=auto", "http.host=0.0.0.0") == ""
    assert not list(tmp_path.iterdir())
    add_token(tmp_path / "team", "ann", ["use"])
    assert check(f"auth.tokens={tmp_path / 'team'}", 'principals={"amn": {"calls": 1}, "*": {}}') == ""
    assert "setting principals.amn: there is no token of that name now" in caplog.text
    assert "principals.ann.hosts names 'gpu9'" in check('principals={"ann": {"hosts": ["gpu9"]}}')
    assert check('principals={"ann": {"hosts": ["local"], "folders": ["/nowhere"]}}') == ""
    assert "principals.ann: '/nowhere' is no folder now" in caplog.text


def test_config_show_shows_what_each_may_use(capsys: pytest.CaptureFixture[str]) -> None:
    given = ('principals={"ann": {"calls": 2}}', 'http.behind_proxy=["10.0.0.1", "10.1.0.0/16"]')
    assert main(["config", "show", *(part for pair in given for part in ("--set", pair))]) == 0
    shown = capsys.readouterr().out
    assert 'principals = {"ann": {"hosts": []' in shown and '"calls": 2' in shown
    assert 'http.behind_proxy = ["10.0.0.1/32", "10.1.0.0/16"]' in shown


OPEN = [["--bind", "0.0.0.0"], ["--bind", "::"], ["--bind", "192.168.7.7"], ["--set", "http.host=0.0.0.0"]]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", OPEN, ids=lambda given: given[-1])
def test_an_address_for_all_is_not_served_without_tokens(tmp_path: Path, arguments: list[str]) -> None:
    refused = run(tmp_path, "--transport", "http", *arguments)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "is not a loopback address, and no client would need a token. Make a token first: `" in refused.stderr


@pytest.mark.slow
def test_nor_where_a_variable_or_a_file_says_so(tmp_path: Path) -> None:
    assert run(tmp_path, "--transport", "http", OLLAMA_MCP_HTTP__HOST="0.0.0.0").returncode == 2
    file = tmp_path / "settings.json"
    file.write_text('{"transport": "sse", "http": {"host": "0.0.0.0"}}', encoding="utf-8")
    refused = run(tmp_path, "--config", str(file))
    assert refused.returncode == 2 and "no client would need a token" in refused.stderr


@pytest.mark.slow
def test_with_a_token_it_is_served_to_who_has_it(simulator_url: str, tmp_path: Path) -> None:
    secret = run(tmp_path, "token", "add", "ann").stdout.strip()
    with serving(tmp_path, "--ollama", simulator_url, "--bind", "0.0.0.0") as (process, peer, said):
        assert "tokens go over plain HTTP at 0.0.0.0" in said and "\n" not in said
        assert (asked(peer), asked(peer, "omcp_wrong"), asked(peer, secret)) == (401, 401, 200)
        # Loopback is no way around it, nor is another name of this machine.
        assert asyncio.run(peer.post(modern(1, "tools/list"), "modern", Host="gpu-box")).status == 421
        assert secret not in "\n".join(process.stderr)


@pytest.mark.slow
def test_with_a_token_in_the_file_loopback_needs_it_too(simulator_url: str, tmp_path: Path) -> None:
    secret = run(tmp_path, "token", "add", "ann").stdout.strip()
    with serving(tmp_path, "--ollama", simulator_url) as (_, peer, _):
        assert (asked(peer), asked(peer, secret)) == (401, 200)
        run(tmp_path, "token", "revoke", "ann")
        while asked(peer, secret) == 200:
            pass
        assert asked(peer) == 401


@pytest.mark.slow
def test_without_a_file_loopback_needs_none(simulator_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--ollama", simulator_url) as (_, peer, said):
        assert (asked(peer), said) == (200, "")


@pytest.mark.slow
def test_an_automatic_token_is_kept_in_a_private_file(simulator_url: str, tmp_path: Path) -> None:
    file = tmp_path / "config/ollama-mcp-server/token"
    secrets: set[str] = set()
    for _ in range(2):
        with serving(tmp_path, "--ollama", simulator_url, "--token", "auto") as (process, peer, said):
            assert said == f"ollama-mcp-server has its token in {file}"
            secret = file.read_text(encoding="utf-8").strip()
            assert (asked(peer), asked(peer, secret)) == (401, 200)
            assert secret not in "\n".join(process.stderr)
            secrets.add(secret)
    assert len(secrets) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    refused = run(tmp_path, "--transport", "http", "--token", "auto")
    assert refused.returncode == 2 and "others may read it" in refused.stderr


@pytest.mark.slow
def test_who_insists_is_warned_at_each_start(simulator_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        given = ("--ollama", simulator_url, "--bind", "0.0.0.0", "--insecure-no-auth")
        with serving(tmp_path, *given) as (_, peer, said):
            assert said.startswith("WARNING ollama_mcp.http: http.insecure_no_auth: whoever reaches 0.0.0.0 may use")
            assert asked(peer) == 200


@pytest.mark.slow
def test_options_of_who_may_connect_say_that_stdio_has_none(tmp_path: Path) -> None:
    for option in (["--token", "auto"], ["--insecure-no-auth"]):
        refused = run(tmp_path, *option)
        assert refused.returncode == 2
        assert f"{option[0]} has no effect: the transport is stdio" in refused.stderr


@pytest.fixture
def simulator_url() -> Generator[str]:
    """A simulated Ollama in a thread, since these tests wait for processes."""
    ready, end, urls = threading.Event(), asyncio.Event(), list[str]()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with Simulator(version="latest") as simulator:
            urls.append(simulator.url)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield urls[0]
    loops[0].call_soon_threadsafe(end.set)
    thread.join(60)
