"""A start from kept answers is for its client what the ordinary start is, only sooner.

The load of the server is held (`held/sitecustomize.py`), so that an answer can only come from the front.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.architecture.tree import imports
from tests.packaging.conftest import empty_home
from tests.program import program
from tests.transports.client_forms import FORMS
from tests.transports.wire import INITIALIZED, ROOT, Message, StdioPeer, as_line, call, initialize, request

COMMAND = [sys.executable, "-m", "ollama_mcp"]
FRONT = ROOT / "ollama_mcp" / "front.py"
KEY = "key-of-a-user"
STATUS = call("status", "ollama_status")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its starts are ordinary ones")


class Start:
    """Starts of one user, whose home is a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.fifos: dict[int, Path] = {}
        paths = os.pathsep.join((str(Path(__file__).with_name("held")), str(ROOT)))
        # A port where nothing listens: none of this asks Ollama.
        self.env = {**empty_home(home), "PYTHONPATH": paths, "OLLAMA_HOST": "http://127.0.0.1:9", "OLLAMA_API_KEY": KEY}

    def warm(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `warm`."""
        command = [*program(), "warm", *arguments]
        return subprocess.run(
            command, env={**self.env, **env}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50
        )

    @property
    def kept(self) -> list[Path]:
        """The kept files."""
        return [*(self.home / ".cache" / "ollama-mcp-server").glob("start-*.json")]

    @contextmanager
    def server(self, *arguments: str, is_held: bool = True, **env: str) -> Generator[StdioPeer]:
        """A server process; its load is held until `release`."""
        fifo = Path(mkdtemp(dir=self.home)) / "hold"
        os.mkfifo(fifo)
        hold = {"HOLD": str(fifo)} if is_held else {}
        with StdioPeer(*arguments, command=COMMAND, env={**self.env, **hold, **env}) as peer:
            self.fifos[peer.process.pid] = fifo
            try:
                yield peer
            finally:
                if peer.process.poll() is None and is_held:
                    peer.process.kill()

    def release(self, peer: StdioPeer) -> None:
        """Let a server load."""
        self.fifos[peer.process.pid].write_bytes(b"")

    def is_front(self, *arguments: str, **env: str) -> bool:
        """Whether a start is answered from kept answers."""
        with self.server(*arguments, is_held=True, **env) as peer:
            return peer.next_line() == "held in load"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A user who has run `warm`."""
    start = Start(tmp_path_factory.mktemp("home"))
    warmed = start.warm()
    assert warmed.returncode == 0, warmed.stderr
    return start


@pytest.fixture(scope="module")
def ordinary(start: Start) -> Generator[StdioPeer]:
    """A server that has started without kept answers."""
    with start.server("--no-cache", is_held=False) as peer:
        yield peer


def answers(peer: StdioPeer, messages: list[Message]) -> dict[Any, bytes]:
    """The lines that answer the requests among the messages, by id."""
    peer.send(*messages)
    lines = [peer.receive_line() for message in messages if "id" in message]
    return {json.loads(line)["id"]: line for line in lines}


@pytest.mark.parametrize("form", FORMS)
def test_front_and_server_answer_a_client_alike_to_the_byte(form: str, start: Start, ordinary: StdioPeer) -> None:
    with start.server() as peer:
        found = answers(peer, FORMS[form])
    assert found.keys() == {message["id"] for message in FORMS[form] if "id" in message}
    assert found == answers(ordinary, FORMS[form])


@contextmanager
def both(start: Start) -> Generator[tuple[StdioPeer, StdioPeer]]:
    """A start from kept answers and an ordinary one, both held."""
    with start.server() as fronted:
        assert fronted.next_line() == "held in load"
        with start.server("--no-cache") as plain:
            assert plain.next_line() == "held in main"
            yield fronted, plain


def everything(start: Start, data: bytes) -> list[list[bytes]]:
    """All lines of both starts for these bytes, sorted, since requests are answered side by side."""
    lines, last = data[: data.rfind(b"\n") + 1], data[data.rfind(b"\n") + 1 :]
    found: list[list[bytes]] = []
    with both(start) as peers:
        for peer in peers:
            peer.write(lines)
            start.release(peer)
        for peer in peers:
            # The client stays until it has its answers: a call in flight is cancelled when stdin closes.
            answers = [peer.receive_line() for line in lines.splitlines() if wants_answer(line)]
            peer.write(last)
            peer.close_stdin()
            answers += iter(peer.receive_line, b"")
            assert peer.wait() == 0
            found.append(sorted(answers))
    return found


def wants_answer(line: bytes) -> bool:
    """Whether a line is a request, or no message, which is answered too."""
    try:
        return bool(line.strip()) and isinstance(json.loads(line).get("id"), str | int)
    except ValueError:
        return True


LISTING = FORMS["continue"]
LINES = b"".join(map(as_line, LISTING))
ODD = {
    "a call before the server has loaded": as_line(initialize()) + as_line(INITIALIZED) + as_line(STATUS),
    "a call before initialize": as_line(STATUS) + LINES,
    "a list before initialize": as_line(request(0, "tools/list")) + LINES,
    "ping before initialize": as_line(request("p", "ping")) + LINES,
    "ten requests in one write": LINES + b"".join(as_line(request(f"x{n}", "ping")) for n in range(4)),
    "initialize twice": as_line(initialize("a"))
    + as_line(initialize("b", "2024-11-05"))
    + LINES[LINES.index(b"\n") + 1 :],
    "an unknown version": as_line(initialize(1, "1.0")) + as_line(request(2, "tools/list")),
    "no last newline": LINES + as_line(request("last", "ping"))[:-1],
    "carriage returns and blank lines": b"\r\n" + LINES.replace(b"\n", b"\r\n\n"),
    "what is no JSON": as_line(initialize()) + b"{nonsense\n" + as_line(request(1, "tools/list")),
    "capabilities of a wrong type": as_line(
        request(0, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {"roots": 1}, "clientInfo": {}})
    ),
    "a cursor": as_line(initialize()) + as_line(request(1, "tools/list", {"cursor": "x"})),
    "an escaped id": as_line(initialize('a"b\\c\u00e9')),
    "an id that is no integer": as_line(initialize()).replace(b'"id": 0', b'"id": 1.5') + LINES,
    "an envelope of an unknown version": as_line(
        request(0, "tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}})
    ),
    "notifications around it": as_line(
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    )
    + LINES
    + as_line({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}),
    "nothing": b"",
}


QUICK = ("a call before the server has loaded",)


@pytest.mark.parametrize("case", [pytest.param(case, marks=[] if case in QUICK else pytest.mark.slow) for case in ODD])
def test_odd_input_is_answered_as_by_an_ordinary_start(case: str, start: Start) -> None:
    fronted, plain = everything(start, ODD[case])
    assert fronted == plain
    assert bool(plain) == (case != "nothing")


@pytest.mark.slow
def test_a_line_over_the_limit_first_is_refused_as_by_an_ordinary_start(start: Start) -> None:
    with both(start) as peers:
        found: list[list[bytes]] = []
        for peer in peers:
            start.release(peer)
            peer.write(b"x" * (72 * 1024 * 1024 + 1) + b"\n" + LINES)
            found.append(sorted(peer.receive_line() for _ in range(7)))
    assert found[0] == found[1]
    assert b"Line over" in b"".join(found[0])


def test_a_request_in_two_halves_around_the_hand_over_is_one(start: Start) -> None:
    first, second = as_line(STATUS)[:20], as_line(STATUS)[20:]
    with start.server() as peer:
        assert peer.ask(initialize())["result"]["serverInfo"]["name"] == "ollama"
        peer.write(as_line(INITIALIZED) + first)
        start.release(peer)
        peer.until("handed over")
        peer.write(second)
        assert peer.receive()["id"] == "status"
        # The session is the one that the front began.
        assert peer.ask(request(5, "tools/list"))["result"]["tools"]


def test_the_client_may_close_stdin_while_the_server_loads(start: Start) -> None:
    with start.server() as peer:
        peer.send(*LISTING)
        peer.close_stdin()
        assert len([peer.receive_line() for message in LISTING if "id" in message]) == 6
        start.release(peer)
        assert (peer.rest(), peer.wait()) == ([], 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_server_loads_ends_it_as_an_ordinary_start(number: int, start: Start) -> None:
    with both(start) as peers:
        codes = [_ended_by(number, peer) for peer in peers]
    assert codes[0] == codes[1] == (-number if number == signal.SIGTERM else 130)


def _ended_by(number: int, peer: StdioPeer) -> int:
    """The exit code. Python hears of a signal that comes just before a blocking call only with the next one."""
    while peer.process.poll() is None:
        peer.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            peer.process.wait(5)
    return peer.wait()


def test_what_the_load_finds_wrong_is_told_as_ever(start: Start) -> None:
    with start.server("--no-such-option", is_held=False) as peer:
        assert (peer.rest(), peer.wait()) == ([], 2)


def test_only_the_same_start_is_answered_from_kept_answers(start: Start) -> None:
    assert start.is_front()
    assert not start.is_front("--read-only")
    assert not start.is_front("--no-cache")
    assert not start.is_front(OLLAMA_MCP_LIMITS__LISTED="7")
    assert not start.is_front(OLLAMA_API_KEY="")
    assert not start.is_front(HOME=str(start.home / "other"))


def test_a_config_file_that_comes_later_ends_it(start: Start) -> None:
    file = start.home / "ollama-mcp-server" / "config.json"
    file.parent.mkdir()
    file.write_text('{"read_only": true}')
    assert not start.is_front()
    file.unlink()
    assert start.is_front()


def test_tool_and_prompt_files_are_part_of_what_was_kept(tmp_path: Path) -> None:
    start = Start(tmp_path)
    tools, prompts = tmp_path / "tools", tmp_path / "prompts"
    settings = {"OLLAMA_MCP_TOOLS__FOLDERS": "~/tools", "OLLAMA_MCP_PROMPTS__FOLDERS": str(prompts)}
    for folder in (tools, prompts):
        folder.mkdir()
    tools.joinpath("a.py").write_text("A = 1\n")
    assert start.warm(**settings).returncode == 0
    assert start.is_front(**settings)
    tools.joinpath("a.py").write_text("A = 2\n")
    assert not start.is_front(**settings)
    tools.joinpath("a.py").write_text("A = 1\n")
    assert start.is_front(**settings)
    prompts.joinpath("b.md").write_text("new")
    assert not start.is_front(**settings)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _changed(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"Ollama", b"Ollana", 1))


def _linked(file: Path) -> None:
    file.rename(file.with_suffix(".real"))
    file.symlink_to(file.with_suffix(".real"))


BAD: dict[str, Callable[[Path], Any]] = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": _cut,
    "changed": _changed,
    "a link": _linked,
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "of another name": lambda file: file.rename(file.with_name("start-0.json")),
    "writable for others": lambda file: file.chmod(0o622),
    "in a folder that is writable for others": lambda file: file.parent.chmod(0o777),
    "unreadable JSON": lambda file: file.write_bytes(b"[" * 100_000),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_file_that_is_not_to_be_trusted_is_left_alone(fault: str, start: Start, tmp_path: Path) -> None:
    (whole,) = start.kept
    content = whole.read_bytes()
    user = Start(tmp_path)
    folder = tmp_path / "cache" / "ollama-mcp-server"
    folder.mkdir(parents=True, mode=0o700)
    file = folder / whole.name
    file.write_bytes(content)
    file.chmod(0o600)
    cache = {**start.env, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert user.is_front(**cache)
    BAD[fault](file)
    assert not user.is_front(**cache)


def test_kept_files_are_the_users_own_and_hold_nothing_of_the_user(start: Start) -> None:
    (file,) = start.kept
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    text = file.read_text(encoding="utf-8")
    assert KEY not in text and "127.0.0.1:9" not in text
    kept = json.loads(text.partition("\n")[2])
    assert kept.keys() == {"answers", "bodies", "negotiated", "modern", "watched", "state"}


@pytest.mark.parametrize("case", ["missing", "read-only"])
def test_a_home_that_takes_nothing_is_no_error(case: str, tmp_path: Path) -> None:
    start = Start(tmp_path)
    home = tmp_path / "home"
    if case == "read-only":
        home.write_text("a file, which root too can make no folder in")
    warmed = start.warm(HOME=str(home))
    assert warmed.returncode == 2 and "cannot be written" in warmed.stderr and "Traceback" not in warmed.stderr
    with start.server(is_held=False, HOME=str(home)) as peer:
        assert peer.handshake()["serverInfo"]["name"] == "ollama"
        peer.close_stdin()
        assert (peer.wait(), peer.stderr) == (0, [])
    assert not home.exists() or home.is_file()


@pytest.mark.parametrize("arguments", [["--transport", "http"], ["--no-cache"], ["demo"]])
def test_warm_refuses_what_is_no_start_over_stdio(arguments: list[str], start: Start) -> None:
    refused = start.warm(*arguments)
    assert refused.returncode == 2 and "options that the host gives" in refused.stderr


@pytest.mark.slow
def test_an_ordinary_start_keeps_its_answers_for_the_next(tmp_path: Path) -> None:
    start = Start(tmp_path)
    with start.server(is_held=False) as peer:
        peer.handshake()
        while not start.kept:
            peer.ask(request("wait", "ping"))
    assert start.is_front()


@pytest.mark.slow
def test_servers_that_keep_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    start = Start(tmp_path)
    running = [
        subprocess.Popen([*COMMAND, "warm"], env=start.env, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(4)
    ]
    assert [process.wait(50) for process in running] == [0] * 4
    assert len(start.kept) == 1 and start.is_front()


def test_the_front_is_one_short_file_that_imports_a_little_of_the_standard_library() -> None:
    top = {found.module for found in imports(FRONT)} - {"__future__", "collections.abc", "typing"}
    assert top == {"hashlib", "json", "os", "select", "stat", "sys", "threading"}
    assert len(FRONT.read_text(encoding="utf-8").splitlines()) <= 250


def test_before_its_first_answer_a_start_imports_nothing_else() -> None:
    code = "import sys; before = {*sys.modules}; import ollama_mcp_server; print(*sys.modules.keys() - before)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(ran.stdout.split())
    ours = {"ollama_mcp", "ollama_mcp.cli", "ollama_mcp.front", "ollama_mcp_server"}
    assert {module for module in modules if module.startswith("ollama")} == ours
    assert not modules & {"typing", "argparse", "asyncio", "logging", "pathlib", "subprocess", "socket", "pydantic"}
    assert (
        not modules
        - ours
        - set(sys.stdlib_module_names)
        - {m for m in modules if m.split(".")[0] in sys.stdlib_module_names}
    )
