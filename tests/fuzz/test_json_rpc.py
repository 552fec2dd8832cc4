"""Bytes that are nearly JSON-RPC, on stdio and HTTP: answered or dropped, and the next call is served."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.conftest import FuzzedServer
from tests.fuzz.http_server import FuzzedHttp
from tests.transports.wire import as_line, modern, request

SHARED = [HealthCheck.too_slow]
_CALL = as_line(request(1, "tools/call", {"name": "ollama_show_model", "arguments": {"model": "llama3.2:3b"}}))[:-1]
_MESSAGES = (_CALL, as_line(request(2, "tools/list"))[:-1], b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
_IDS = (
    *(
        "1",
        '"a"',
        "null",
        "true",
        "1.5",
        "-1",
        "9" * 40,
        "9" * 5_000,
        '"%s"' % ("i" * 100_000),
        "[]",
        "{}",
        '"\\ud800"',
    ),
    *('"\\u0000"', "1e400", "NaN", '""'),
)

LINES: dict[str, bytes] = {
    "cut in the middle": _CALL[: len(_CALL) // 2],
    "NUL": b"\0",
    "NUL inside": _CALL.replace(b'"id"', b'"id\0"'),
    "BOM": b"\xef\xbb\xbf" + _CALL,
    "UTF-16": _CALL.decode().encode("utf-16"),
    "CRLF": _CALL + b"\r",
    "a megabyte of blanks": b" " * 2**20,
    "a megabyte of blanks before": b" " * 2**20 + _CALL,
    "a megabyte of blanks inside": _CALL.replace(b":", b":" + b" " * 2**20, 1),
    "duplicate keys": _CALL.replace(b'"id"', b'"id":77,"method":"nope","id"'),
    "overlong UTF-8": _CALL.replace(b"llama", b"\xc0\xaf"),
    "a surrogate in UTF-8": _CALL.replace(b"llama", b"\xed\xa0\x80"),
    "deep objects": _CALL.replace(b'"llama3.2:3b"', b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
    "a depth that parses": _CALL.replace(b'"llama3.2:3b"', b"[" * 150 + b"]" * 150),
    "many keys": _CALL.replace(b'"llama3.2:3b"', b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}"),
    "a batch of nothing": b"[]",
    "a batch of batches": b"[[" + _CALL + b"]]",
    "another version": _CALL.replace(b"2.0", b"1.0"),
    "no version": _CALL.replace(b'"jsonrpc": "2.0", ', b""),
    "comments": b"/* */" + _CALL,
    "two messages in a line": _CALL + _CALL,
    "an answer to nothing": b'{"jsonrpc":"2.0","id":9,"result":{}}',
    "an error to nothing": b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}',
    "a cancellation of nothing": b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}',
    "progress for nothing": b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":[]}}',
    "a notification of a request": b'{"jsonrpc":"2.0","method":"tools/call","params":{}}',
    "HTTP": b"GET / HTTP/1.1",
    **{f"id {value}": _CALL.replace(b'"id": 1', b'"id": ' + value.encode()) for value in _IDS},
    **{
        f"params {value}": b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":%s}' % value.encode()
        for value in _IDS
    },
    **{f"method {value}": b'{"jsonrpc":"2.0","id":4,"method":%s}' % value.encode() for value in _IDS},
    **{
        f"token {value}": _CALL.replace(b'"arguments"', b'"_meta":{"progressToken":%s},"arguments"' % value.encode())
        for value in _IDS
    },
}


def damaged(drawn: tuple[bytes, list[tuple[float, bytes, int]]]) -> bytes:
    """A message with a few bytes replaced, on one line."""
    data, edits = drawn
    for place, new, removed in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + removed :]
    return data.replace(b"\n", b" ")


_EDIT = st.tuples(
    st.floats(0, 1),
    st.sampled_from([b'"', b"{", b"}", b"[", b",", b":", b"\\", b"\xff", b"\0", b"null", b"1e999", b"\\u0000"])
    | st.binary(max_size=4),
    st.integers(0, 6),
)
MESSAGES = st.tuples(st.sampled_from(_MESSAGES), st.lists(_EDIT, min_size=1, max_size=4)).map(damaged)


def survives(server: FuzzedServer, line: bytes) -> None:
    """Send a line and a call after it; every message that comes before the call's answer is held to the rules."""
    server.peer.write(line + b"\n")
    try:
        server.peer.send(request("alive", "ping"))
        while (answer := server.peer.receive()).get("id") != "alive":
            if "method" not in answer:
                server.check(answer)
    except (ValueError, OSError) as error:
        pytest.fail(f"{error!r} after {line[:200]!r}: {server.peer.stderr[-3:]}")


# One test for all, since a server of its own for each worker of a parallel run costs more than all lines together.
def test_odd_lines_on_stdio(server: FuzzedServer) -> None:
    for line in LINES.values():
        survives(server, line)


@settings(max_examples=150, suppress_health_check=SHARED)
@given(line=MESSAGES)
@example(line=b"")
def test_damaged_lines_on_stdio(server: FuzzedServer, line: bytes) -> None:
    survives(server, line)


@pytest.mark.slow
@settings(max_examples=1_500, suppress_health_check=SHARED)
@given(line=MESSAGES)
def test_thousands_of_damaged_lines_on_stdio(server: FuzzedServer, line: bytes) -> None:
    survives(server, line)


def test_odd_bodies_over_http(http: FuzzedHttp) -> None:
    for body in LINES.values():
        http.post(body)


@settings(max_examples=60, suppress_health_check=SHARED)
@given(body=MESSAGES)
def test_damaged_bodies_over_http(http: FuzzedHttp, body: bytes) -> None:
    http.post(body)


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=SHARED)
@given(body=MESSAGES)
def test_thousands_of_damaged_bodies_over_http(http: FuzzedHttp, body: bytes) -> None:
    http.post(body)


_VALUES = (
    "",
    " ",
    "x",
    "\xff",
    "*/*",
    "application/json",
    "text/event-stream",
    "0",
    "-1",
    "1e9",
    "a" * 5_000,
    "2025-11-25",
    "2026-07-28",
    "2099-01-01",
    "tools/call",
    "gzip",
    "application/json; charset=utf-16",
    "9" * 30,
    "\t",
    "a,b",
    ";q=",
)
_NAMES = (
    "Accept",
    "Content-Type",
    "Content-Encoding",
    "MCP-Protocol-Version",
    "Mcp-Session-Id",
    "Mcp-Method",
    "Mcp-Name",
    "Last-Event-ID",
    "Expect",
    "Transfer-Encoding",
    "Content-Length",
    "Origin",
    "Connection",
    "X" * 3_000,
    "Range",
)


@settings(max_examples=120, suppress_health_check=SHARED)
@given(
    method=st.sampled_from(["POST", "GET", "DELETE", "PUT", "post", "X" * 50]),
    fields=st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)), max_size=4),
    body=st.sampled_from(_MESSAGES),
)
def test_odd_headers_over_http(http: FuzzedHttp, method: str, fields: list[tuple[str, str]], body: bytes) -> None:
    http.odd(method, fields, body)


def test_what_is_left_of_it_all_is_a_server_that_answers(server: FuzzedServer, http: FuzzedHttp) -> None:
    answer: Any = server.peer.ask(json.loads(_CALL))
    assert answer["result"]["structuredContent"]
    arguments = {"name": "ollama_show_model", "arguments": {"model": "llama3.2:3b"}}
    status, body = http.post(as_line(modern(1, "tools/call", arguments)))
    assert status == 200 and b"structuredContent" in body
