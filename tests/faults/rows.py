"""The fault table: each row's fault, and what is expected of the server. `test_rows.py` runs it.

`not_run.py` has the other numbers from F01 to F60.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ollama_mcp.simulator import Fault
from tests.faults import steps
from tests.faults.proxy import PASS, Wire
from tests.faults.rig import ANSWER, WORDS, Result, Rig

Steps = Callable[[Rig], Awaitable[Result | None]]
GENERATE = "/api/generate"


@dataclass(frozen=True)
class Row:
    """One fault and what is expected.

    Args:
        id: The number of the fault, with a word where it has several forms.
        fault: What goes wrong.
        kind: Kind of the error; "" is success.
        says: Words of the text for the agent.
        never: Words that must not be in it.
        kept: What is kept of the model's text at least; all that is kept is the beginning of its answer.
        rules: Faults of the simulator.
        up: What the proxy does to requests.
        down: What the proxy does to responses.
        reply: What answers in Ollama's place.
        tool: The tool that is called.
        arguments: Its arguments; those of a plain prompt by default.
        path: The request that is counted.
        sent: How often Ollama sees it; None is not counted.
        gone: Whether Ollama must see the client leave.
        steps: What is done in place of one call; its result is the row's.
        settings: Settings of a server of its own; `config` is its config file.
        prefix: A command that starts that server.
        simulator: Arguments of the simulator.
        stdio_only: Whether it needs a file of this machine, which clients over HTTP may not name.
        slow: Whether it waits for a time limit, moves many bytes, or starts a server of its own.
    """

    id: str
    fault: str
    kind: str = ""
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ("<html", "Traceback")
    kept: str = ""
    rules: tuple[Fault, ...] = ()
    up: Wire = PASS
    down: Wire = PASS
    reply: bytes = b""
    tool: str = "ollama_generate"
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    path: str = GENERATE
    sent: int | None = 1
    gone: bool = False
    steps: Steps | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    prefix: tuple[str, ...] = ()
    simulator: dict[str, Any] = field(default_factory=dict[str, Any])
    stdio_only: bool = False
    slow: bool = False


def _words(count: int) -> str:
    return "".join(WORDS[:count])


def _http(body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _text(status: int, text: str) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close"
    return f"{head}\r\n\r\n{text}".encode()


def _on(fault: Fault) -> tuple[Fault, ...]:
    fault.path = fault.path or GENERATE
    return (fault,)


# A server of its own: for what a shared one would remember, such as its retries.
_OWN = {"log_level": "warning"}
_LIST: dict[str, Any] = {"tool": "ollama_list_models", "path": "/api/tags"}
_PULL: dict[str, Any] = {
    "tool": "ollama_pull_model",
    "arguments": {"model": "all-minilm"},
    "path": "/api/pull",
}
_MEMORY = "model requires more system memory (9.0 GiB) than is available (4.0 GiB)"

ROWS = [
    Row("F01", "connection refused", "unreachable", ("refused", "ollama serve"), sent=0, steps=steps.refused),
    Row(
        "F06",
        "accepts and never answers; the client gives up",
        rules=_on(Fault("hang")),
        gone=True,
        steps=steps.give_up,
    ),
    Row("F07", "headers late, as while a model loads", rules=_on(Fault("delay", seconds=0.3))),
    Row("F08", "reset before any byte, generate", "interrupted", rules=_on(Fault("refuse"))),
    Row(
        "F09",
        "reset before any byte, list",
        rules=_on(Fault("refuse", "/api/tags", times=1)),
        sent=2,
        settings=_OWN,
        slow=True,
        **_LIST,
    ),
    Row(
        "F10",
        "takes the body, closes without an answer, generate",
        "interrupted",
        rules=_on(Fault("hang", seconds=0.01)),
    ),
    Row(
        "F10-idempotent",
        "takes the request, closes without an answer, list",
        rules=_on(Fault("hang", "/api/tags", seconds=0.01, times=1)),
        sent=2,
        settings=_OWN,
        slow=True,
        **_LIST,
    ),
    Row("F11", "an idle connection was closed by the server", sent=2, steps=steps.after_idle_close),
    Row("F12", "reset after 50 tokens", "interrupted", kept=_words(1), rules=_on(Fault("reset", after=50))),
    Row("F13", "end without the last line", "interrupted", kept=ANSWER, rules=_on(Fault("no_done"))),
    Row("F14", "the end of the chunks is missing", "interrupted", kept=_words(50), rules=_on(Fault("cut", after=50))),
    Row(
        "F15",
        "one byte at a time within a line",
        "timeout",
        kept=_words(5),
        down=Wire("trickle", after=1500, pause=0.05),
        slow=True,
    ),
    Row(
        "F16",
        "silence after 50 tokens",
        "timeout",
        kept=_words(50),
        rules=_on(Fault("stall", after=50)),
        gone=True,
        slow=True,
    ),
    Row(
        "F16-half-open",
        "the line is dead after some tokens",
        "timeout",
        kept=_words(5),
        down=Wire("hold", 1500),
        slow=True,
    ),
    Row(
        "F17",
        "an error as the first line",
        "model_not_found",
        rules=_on(Fault("error_line", text="model 'x' not found")),
    ),
    Row(
        "F18",
        "an error line after 50 tokens",
        "server_error",
        ("it broke",),
        kept=_words(50),
        rules=_on(Fault("error_line", after=50, text="it broke")),
    ),
    Row(
        "F19-json", "a line that is no JSON", "bad_answer", kept=_words(50), rules=_on(Fault("invalid_line", after=50))
    ),
    Row("F19-utf8", "half a letter of UTF-8", "bad_answer", kept=_words(50), rules=_on(Fault("cut_utf8", after=50))),
    Row(
        "F19-html",
        "a page of HTML",
        "bad_answer",
        reply=_http(b"<html>Welcome</html>" * 9, "text/html"),
        never=("Welcome" * 5,),
        sent=0,
    ),
    Row("F19-empty", "an empty body", "bad_answer", reply=_http(b""), sent=0),
    Row("F19-ssh", "no HTTP at all", "bad_answer", reply=b"SSH-2.0-OpenSSH_9\r\n\r\n", sent=0),
    Row("F20-blank", "blank lines", rules=_on(Fault("blank_lines"))),
    Row("F20-crlf", "lines that end in CR LF", rules=_on(Fault("crlf"))),
    Row("F20-joined", "all lines in one chunk", rules=_on(Fault("joined"))),
    Row("F20-split", "lines over several packets, letters of several bytes", steps=steps.every_byte_alone),
    Row("F21-9MB", "a line of 9 MB", rules=_on(Fault("huge_line", after=3, size=9_000_000)), slow=True),
    Row("F21-endless", "a line that never ends", "bad_answer", steps=steps.endless_line, sent=0, slow=True),
    Row(
        "F22",
        "a compressed answer",
        "bad_answer",
        ("compressed",),
        reply=_http(b"x" * 99, Content_Encoding="gzip"),
        sent=0,
    ),
    Row("F23-403", "403 without a body", "forbidden", ("Host",), rules=_on(Fault("forbidden"))),
    Row("F23-404", "404 as text", "unsupported_by_version", rules=_on(Fault("not_found"))),
    Row("F23-405", "405", "unsupported_by_version", reply=_text(405, "405 method not allowed"), sent=0),
    Row(
        "F24", "401 with a sign-in address", "unauthorized", ("https://ollama.com/",), rules=_on(Fault("unauthorized"))
    ),
    Row("F25-120", "429 that asks for 120 s", "busy", ("120",), rules=_on(Fault("rate_limited", retry_after=120))),
    Row(
        "F25-1",
        "429 that asks for 1 s",
        rules=_on(Fault("rate_limited", retry_after=1, times=1)),
        sent=2,
        settings=_OWN,
        slow=True,
    ),
    Row(
        "F25-negative",
        "429 that asks for less than nothing",
        rules=_on(Fault("rate_limited", retry_after=-1, times=1)),
        sent=2,
        settings=_OWN,
        slow=True,
    ),
    Row(
        "F26",
        "Ollama's queue is full",
        "busy",
        rules=_on(Fault("unavailable")),
        sent=3,
        settings=_OWN,
        slow=True,
    ),
    Row("F27-502", "502 of a proxy with HTML", "unreachable", ("502",), rules=_on(Fault("bad_gateway"))),
    Row("F28-memory", "500 out of memory", "server_error", ("9.0 GiB",), rules=_on(Fault("status", text=_MEMORY))),
    Row("F28-runner", "the runner dies", "server_error", kept=_words(50), rules=_on(Fault("runner_death", after=50))),
    Row(
        "F28-nested",
        "an error within an error",
        "server_error",
        ("it broke",),
        ('{"', "\\"),
        rules=_on(Fault("nested_error", text="it broke")),
    ),
    Row("F30", "a redirect to another host", "bad_answer", steps=steps.redirected),
    Row("F32", "another version while running", "", ("0.17.7",), steps=steps.other_version, sent=None),
    Row("F33", "deleted between list and generate", "model_not_found", steps=steps.deleted_meanwhile),
    Row(
        "F34",
        "evicted while it writes",
        "server_error",
        kept=_words(9),
        rules=_on(Fault("error_line", after=9, text="model unloaded")),
    ),
    Row(
        "F38",
        "a pull cut on the way",
        rules=(Fault("cut", "/api/pull", after=4, times=1),),
        sent=2,
        simulator={"latency": steps.SLOW_TRANSFER},
        slow=True,
        **_PULL,
    ),
    Row("F39", "a pull that stalls; the client gives up", gone=True, steps=steps.stalled_pull, **_PULL),
    Row(
        "F40-full",
        "no room on the host's disk",
        "server_error",
        ("no space left",),
        rules=(Fault("error_line", "/api/pull", after=2, text="write /blobs: no space left on device"),),
        **_PULL,
    ),
    Row(
        "F40-digest",
        "a layer that does not match",
        "server_error",
        ("digest mismatch",),
        rules=(
            Fault(
                "error_line",
                "/api/pull",
                after=2,
                text="digest mismatch, file must be downloaded again: want sha256:a, got sha256:b",
            ),
        ),
        **_PULL,
    ),
    Row(
        "F40-429",
        "the registry has enough",
        "busy",
        rules=(Fault("error_line", "/api/pull", after=1, text="429: rate limited"),),
        **_PULL,
    ),
    Row(
        "F41",
        "an upload cut at 40 %",
        steps=steps.upload_cut,
        stdio_only=True,
        path="/api/blobs/*",
        sent=None,
        slow=True,
    ),
    Row(
        "F41-digest",
        "the host finds another digest",
        "invalid_argument",
        ("changed",),
        steps=steps.upload_mismatch,
        stdio_only=True,
        path="/api/create",
        sent=0,
    ),
    Row(
        "F42",
        "a file cut while it is uploaded",
        "invalid_argument",
        ("weights.gguf", "changed"),
        steps=steps.file_cut,
        stdio_only=True,
        path="/api/create",
        sent=0,
        slow=True,
    ),
    Row(
        "F43",
        "one request of an embedding of many texts fails",
        "server_error",
        ("it broke",),
        steps=steps.embed_in_parts,
        path="/api/embed",
        sent=None,
    ),
    Row(
        "F45",
        "no file can be opened any more",
        steps=steps.many_files,
        prefix=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"),
        sent=None,
        slow=True,
    ),
    Row(
        "F52",
        "the config file is changed, then deleted",
        steps=steps.config_gone,
        settings={"config": "config.json"},
        sent=2,
        slow=True,
    ),
    Row(
        "F54",
        "a user's tool blocks the event loop",
        steps=steps.blocked_loop,
        settings={"tools.folders": ["tools"], "timeouts.idle": 0.5},
        slow=True,
    ),
    *(
        Row(
            f"F53-{name}",
            f"{fault} during a call",
            steps=steps.clock_jump,
            settings=_OWN,
            prefix=("env", f"CLOCK_JUMP={seconds}"),
            slow=True,
        )
        for name, fault, seconds in (
            ("ahead", "the wall clock jumps one hour ahead", 3600),
            ("back", "the wall clock jumps one hour back", -3600),
            ("asleep", "the machine sleeps for ten minutes", 600),
        )
    ),
    Row(
        "F59",
        "nobody takes the spans, and another program has the port of the figures",
        steps=steps.unwatched,
        settings={"tracing": True, "metrics.port": 1},
        prefix=("env", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY=50"),
        sent=None,
        slow=True,
    ),
    Row(
        "F60",
        "the disk of the ledger is full",
        steps=steps.unwritten,
        settings={"ledger.enabled": True, "store.path": "full.sqlite3"},
        prefix=("sh", "-c", 'ulimit -f 1; exec "$@"', "sh"),
        sent=None,
        slow=True,
    ),
    Row("F56", "one id twice in flight", steps=steps.twins, gone=True),
]
