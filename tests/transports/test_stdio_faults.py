"""The stdio transport survives bad input, bad timing and bad neighbours."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ollama_mcp.server.transports import MAX_MESSAGE_BYTES
from ollama_mcp.server.transports.connection import MAX_CONNECTION_CALLS
from tests.transports.wire import (
    INITIALIZED,
    ROOT,
    SAMPLE,
    Message,
    StdioPeer,
    as_line,
    call,
    environment,
    initialize,
    request,
    sample,
    text_of,
)

PARSE_ERROR, INVALID_REQUEST = -32700, -32600

ODD_LINES: dict[str, tuple[bytes, int]] = {
    "no JSON": (b'{"jsonrpc": "2.0", "id"', PARSE_ERROR),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}', PARSE_ERROR),
    "a hundred thousand levels": (b"[" * 100_000, PARSE_ERROR),
    "a hundred thousand levels in params": (
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        PARSE_ERROR,
    ),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', INVALID_REQUEST),
    "a bare number": (b"1e400", INVALID_REQUEST),
    "a lone surrogate as a method": (b'{"jsonrpc":"2.0","id":true,"method":"\\ud800"}', INVALID_REQUEST),
    "no method": (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
    "a broken line of 2 MB": (b'"' + b"x" * 2_000_000, PARSE_ERROR),
}


def still_serves(peer: StdioPeer) -> bool:
    return text_of(peer.ask(call("alive", "echo", text="alive"))) == "alive"


@pytest.mark.parametrize("name", ODD_LINES)
def test_a_line_that_is_no_message_is_answered_and_the_next_one_served(shared_stdio: StdioPeer, name: str) -> None:
    line, code = ODD_LINES[name]
    shared_stdio.write(line + b"\n")
    answer = shared_stdio.receive()
    assert answer["id"] is None
    assert answer["error"]["code"] == code
    assert still_serves(shared_stdio)


def test_a_broken_request_is_refused_under_its_own_id(shared_stdio: StdioPeer) -> None:
    shared_stdio.write(b'{"jsonrpc":"2.0","id":77,"method":5}\n')
    answer = shared_stdio.receive()
    assert (answer["id"], answer["error"]["code"]) == (77, INVALID_REQUEST)


def test_an_id_that_has_no_utf8_comes_back_as_it_was_sent(shared_stdio: StdioPeer) -> None:
    shared_stdio.write(b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}\n')
    answer = shared_stdio.receive()
    assert (answer["id"], answer["error"]["code"]) == ("\ud800", INVALID_REQUEST)
    assert still_serves(shared_stdio)


def test_a_broken_response_does_not_come_back_as_an_answer_to_the_client(shared_stdio: StdioPeer) -> None:
    shared_stdio.write(b'{"jsonrpc":"2.0","id":78,"result":5}\n')
    assert shared_stdio.receive()["id"] is None


@pytest.mark.parametrize(
    "value", ["1e400", "NaN", "9" * 5_000, '"\\ud800"', "{" + ",".join('"a":1' for _ in range(9)) + "}"]
)
def test_odd_values_in_params_do_no_harm(shared_stdio: StdioPeer, value: str) -> None:
    line = '{"jsonrpc":"2.0","id":"odd","method":"tools/call","params":{"name":"echo","arguments":{"text":%s}}}\n'
    shared_stdio.write((line % value).encode())
    assert {"result", "error"} & set(shared_stdio.receive())
    assert still_serves(shared_stdio)


def test_blank_lines_and_carriage_returns_are_nothing(shared_stdio: StdioPeer) -> None:
    shared_stdio.write(b'\n  \r\n{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n')
    assert shared_stdio.receive() == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_a_line_over_the_limit_is_refused_without_being_held() -> None:
    with StdioPeer("stdio", command=SAMPLE) as peer:
        peer.handshake()
        chunk = b"x" * 2**20
        for _ in range(3 * MAX_MESSAGE_BYTES // len(chunk)):
            peer.write(chunk)
        peer.write(b"\n")
        assert peer.receive()["error"]["code"] == INVALID_REQUEST
        assert still_serves(peer)
        status = Path(f"/proc/{peer.process.pid}/status")
        if status.exists():
            peak = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
            assert int(peak.split()[1]) * 1024 < 2 * MAX_MESSAGE_BYTES + 100 * 2**20


@pytest.mark.slow
def test_a_line_just_under_the_limit_is_served() -> None:
    with StdioPeer() as peer:
        peer.handshake()
        head = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"x":"'
        tail = b'"}}}'
        peer.write(head + b"y" * (MAX_MESSAGE_BYTES - len(head) - len(tail)) + tail + b"\n")
        assert peer.receive() == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_only_protocol_reaches_stdout_whatever_prints() -> None:
    with StdioPeer() as peer:
        peer.handshake()
        assert text_of(peer.ask(call(1, "noisy"))) == "quiet"
        peer.close_stdin()
        assert peer.rest() == []
        assert peer.wait() == 0
        assert {"printed", "written to descriptor 1", "from a child"} <= set(peer.stderr)


@pytest.mark.parametrize("option", ["", "--without-sdk-internals"])
def test_what_prints_before_the_server_serves_stays_off_stdout_once_it_is_claimed(option: str) -> None:
    code = "from ollama_mcp.server.transports.pipes import claim_stdio; claim_stdio(); print('early', flush=True)"
    code += "; import tests.transports.serve_sample as sample; sample.main()"
    with StdioPeer("stdio", option, command=[sys.executable, "-c", code]) as peer:
        peer.handshake()
        peer.close_stdin()
        assert peer.rest() == []
        assert peer.wait() == 0
        assert "early" in peer.stderr


def test_a_second_request_of_an_id_in_flight_is_refused_and_the_first_answered(shared_stdio: StdioPeer) -> None:
    shared_stdio.send(call("twin", "slow", seconds=0.3, text="first"), call("twin", "echo", text="second"))
    refused = shared_stdio.receive()
    assert refused["id"] is None
    assert "in flight" in refused["error"]["message"]
    answer = shared_stdio.receive()
    assert (answer["id"], text_of(answer)) == ("twin", "first")
    assert text_of(shared_stdio.ask(call("twin", "echo", text="third"))) == "third"


def test_a_cancelled_call_is_freed_and_not_answered(shared_stdio: StdioPeer) -> None:
    shared_stdio.send(call("doomed", "slow"))
    shared_stdio.until("started")
    cancel: Message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "doomed"}}
    unknown: Message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "nobody"}}
    shared_stdio.send(cancel, unknown)
    shared_stdio.until("cancelled")
    shared_stdio.send(cancel, request("after", "ping"))
    assert shared_stdio.receive()["id"] == "after"
    assert text_of(shared_stdio.ask(call("doomed", "echo", text="the id is free again"))) == "the id is free again"


def test_the_end_of_stdin_cancels_what_is_in_flight_and_ends_the_process() -> None:
    with StdioPeer() as peer:
        peer.handshake()
        peer.send(*(call(number, "slow") for number in range(20)))
        peer.until("started", times=20)
        peer.close_stdin()
        assert {answer["error"]["code"] for answer in peer.rest()} == {-32000}
        assert peer.wait() == 0
        assert peer.stderr.count("cancelled") == 20
        assert peer.stderr[-1] == "lifespan closed"


def test_a_pipeline_that_closes_stdin_at_once_gets_its_answers() -> None:
    with StdioPeer() as peer:
        peer.send(initialize(1), INITIALIZED, call(2, "echo", text="piped"))
        # the last line may lack its newline
        peer.write(b'{"jsonrpc":"2.0","id":3,"method":"ping"}')
        peer.close_stdin()
        assert sorted(answer["id"] for answer in peer.rest()) == [1, 2, 3]
        assert peer.wait() == 0


def test_a_call_in_flight_when_stdin_closes_still_gets_its_answer() -> None:
    with StdioPeer() as peer:
        peer.handshake()
        peer.send(call(1, "slow", seconds=0.05, text="late"))
        peer.until("started")
        peer.close_stdin()
        assert [text_of(answer) for answer in peer.rest()] == ["late"]
        assert peer.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_even_when_repeated(number: signal.Signals) -> None:
    with StdioPeer() as peer:
        peer.handshake()
        peer.send(call(1, "slow"))
        peer.until("started")
        peer.process.send_signal(number)
        peer.process.send_signal(number)
        assert peer.wait() == 0
        assert peer.stderr[-2:] == ["cancelled", "lifespan closed"]


def test_a_client_that_no_longer_reads_ends_it_without_a_traceback() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*sample(), "stdio"], cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"".join(map(as_line, [initialize(0), INITIALIZED, call(1, "slow")])))
        process.stdin.flush()
        assert next(entry for entry in iter(process.stderr.readline, b"") if entry == b"started\n")
        os.close(reading)
        assert process.wait(20) == 0
        assert process.stderr.read() == b"cancelled\nlifespan closed\n"


def test_a_client_that_fills_stdout_and_then_closes_it_ends_the_process_while_stdin_stays_open() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*sample(), "stdio"], cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        assert process.stdin is not None and process.stderr is not None
        big = [call(number, "big", size=20_000) for number in range(1, 21)]
        for message in [initialize(0), INITIALIZED, *big, call(500, "slow", seconds=0.2)]:
            process.stdin.write(as_line(message))
        process.stdin.flush()
        # By then 400 kB of answers wait for a pipe of 64 KiB.
        assert next(entry for entry in iter(process.stderr.readline, b"") if entry == b"finished\n")
        os.close(reading)
        assert process.wait(20) == 0
        assert process.stderr.read() == b"lifespan closed\n"


def test_a_client_that_stops_reading_blocks_neither_the_loop_nor_fills_the_memory() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*sample(), "stdio"], cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        assert process.stdin is not None and process.stderr is not None
        peer_lines = [initialize(0), INITIALIZED, *(call(number, "big", size=20_000) for number in range(1, 201))]
        for message in [*peer_lines, call(500, "slow", seconds=0.2)]:
            process.stdin.write(as_line(message))
        process.stdin.flush()
        # 4 MB of answers wait for a pipe of 64 KiB; the timer of another call still fires.
        entries = iter(process.stderr.readline, b"")
        assert next(entry for entry in entries if entry == b"finished\n")
        with os.fdopen(reading, "rb") as answers:
            numbers = {line.split(b'"id":')[1].split(b",")[0] for _, line in zip(range(202), answers, strict=False)}
        assert len(numbers) == 202
        process.stdin.close()
        assert process.wait(20) == 0


def test_requests_beyond_the_limit_in_flight_are_refused_at_once() -> None:
    with StdioPeer() as peer:
        peer.handshake()
        peer.send(*(call(number, "slow") for number in range(MAX_CONNECTION_CALLS)))
        assert "in flight" in peer.ask(call("too many", "echo", text="x"))["error"]["message"]
        peer.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}})
        peer.until("cancelled")
        assert still_serves(peer)


def test_two_hundred_slow_calls_at_once_are_all_answered_with_their_own_text(shared_stdio: StdioPeer) -> None:
    shared_stdio.send(*(call(n, "slow", seconds=0.5 + (n % 7) / 20, text=f"text {n}") for n in range(200)))
    answers = [shared_stdio.receive() for _ in range(200)]
    assert {answer["id"]: text_of(answer) for answer in answers} == {n: f"text {n}" for n in range(200)}


def test_a_large_answer_arrives_whole(shared_stdio: StdioPeer) -> None:
    assert text_of(shared_stdio.ask(call("big", "big", size=5_000_000))) == "x" * 5_000_000


def test_files_serve_as_stdin_and_stdout(tmp_path: Path) -> None:
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    asked.write_bytes(b"".join(map(as_line, [initialize(1), INITIALIZED, call(2, "big", size=200_000)])))
    with asked.open("rb") as stdin, answered.open("wb") as stdout:
        subprocess.run(
            [*sample(), "stdio"], cwd=ROOT, env=environment(), stdin=stdin, stdout=stdout, check=True, timeout=30
        )
    assert [line.count(b"x" * 200_000) for line in answered.read_bytes().splitlines()] == [0, 1]


def test_a_terminal_serves_and_control_c_ends_it() -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*sample(), "stdio"],
        cwd=ROOT,
        env=environment(),
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(follower)
        assert process.stdout is not None and process.stderr is not None
        os.write(leader, as_line(request(1, "ping")))
        assert process.stdout.readline() == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read().endswith(b"lifespan closed\n")
    os.close(leader)


def test_a_full_disk_as_stdout_ends_it_without_a_traceback() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb") as stdout:
        process = subprocess.run(
            [*sample(), "stdio"],
            cwd=ROOT,
            env=environment(),
            input=as_line(request(1, "ping")),
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert process.returncode == 0
    assert b"Traceback" not in process.stderr


def test_one_socket_for_both_directions_serves() -> None:
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [*sample(), "stdio"],
        cwd=ROOT,
        env=environment(),
        stdin=theirs.fileno(),
        stdout=theirs.fileno(),
        stderr=subprocess.DEVNULL,
    ) as process:
        theirs.close()
        ours.settimeout(20)
        ours.sendall(as_line(request(1, "ping")))
        assert ours.recv(1000) == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(20) == 0
        ours.close()


@pytest.mark.parametrize("descriptor", [0, 1])
def test_a_closed_stdin_or_stdout_is_one_clear_error(descriptor: int) -> None:
    shell = f'exec "$@" {descriptor}{"<" if descriptor == 0 else ">"}&-'
    process = subprocess.run(
        ["sh", "-c", shell, "sh", *SAMPLE, "stdio"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert b"stdin or stdout is closed" in process.stderr


def test_a_closed_stderr_leaves_the_protocol_whole() -> None:
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *SAMPLE, "stdio"],
        cwd=ROOT,
        env=environment(),
        input=b"".join(map(as_line, [initialize(1), INITIALIZED])),
        stdout=subprocess.PIPE,
        timeout=60,
    )
    assert len(process.stdout.splitlines()) == 1


def test_without_the_sdk_internals_the_sdk_serves_by_itself() -> None:
    with StdioPeer("stdio", "--without-sdk-internals", command=SAMPLE) as peer:
        peer.handshake()
        assert still_serves(peer)
        peer.close_stdin()
        assert peer.wait() == 0
