"""The guard by itself: what an application inside it does wrong, stopping, clients that leave."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from ollama_mcp.server.transports.asgi import Message, Receive, Scope, Send, send_text
from ollama_mcp.server.transports.guard import Guard
from ollama_mcp.settings.model import HttpSettings


class Asked:
    """One ASGI request to a guard, and what it answered."""

    def __init__(self, **fields: Any) -> None:
        self.scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "/mcp",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            **fields,
        }
        self.sent: list[Message] = []
        self.arrived = asyncio.Event()

    async def receive(self) -> Message:
        self.arrived.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return self.sent[0]["status"]


def guarded(app: Any) -> Guard:
    async def ready() -> bool:
        return True

    return Guard(app, HttpSettings(), ready)


async def test_an_application_that_breaks_is_one_line_and_a_server_error(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("secret")

    asked = Asked()
    with caplog.at_level(logging.WARNING):
        await guarded(broken)(asked.scope, asked.receive, asked.send)
    assert asked.status == 500
    assert [record.getMessage() for record in caplog.records] == ["500 to GET '/mcp' from 127.0.0.1"]
    assert "secret" not in caplog.text


async def test_an_application_that_breaks_midway_is_left_unfinished() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("x")

    asked = Asked()
    await guarded(broken)(asked.scope, asked.receive, asked.send)
    assert [message["type"] for message in asked.sent] == ["http.response.start"]


async def test_a_guard_that_was_stopped_refuses_new_requests_and_ends_old_ones() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.Event().wait()

    guard, old, new = guarded(deaf), Asked(), Asked()
    serving = asyncio.create_task(guard(old.scope, old.receive, old.send))
    await old.arrived.wait()
    guard.stop()
    await guard(new.scope, new.receive, new.send)
    await serving
    assert (old.status, new.status) == (503, 503)


async def test_a_client_that_leaves_while_it_sends_gets_nothing() -> None:
    asked = Asked(method="POST")

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    await guarded(None)(asked.scope, gone, asked.send)
    assert asked.sent == []


async def test_a_short_answer_has_its_length() -> None:
    asked = Asked()
    await send_text(asked.send, 200, "ähm")
    assert (b"content-length", b"4") in asked.sent[0]["headers"]


@pytest.mark.parametrize(
    ("server", "host", "is_allowed"),
    [
        ("10.1.2.3", b"10.1.2.3:8000", True),
        ("::ffff:10.1.2.3", b"10.1.2.3", True),
        ("fd00::7", b"[fd00::7]:8000", True),
        ("10.1.2.3", b"10.1.2.4:8000", False),
        ("10.1.2.3", b"10.1.2.3.evil.com", False),
        ("10.1.2.3", b"gpu-box", False),
    ],
)
async def test_the_address_that_was_connected_to_may_be_named(server: str, host: bytes, is_allowed: bool) -> None:
    async def fine(scope: Scope, receive: Receive, send: Send) -> None:
        await send_text(send, 200, "fine")

    asked = Asked(headers=[(b"host", host)], server=(server, 8000))
    await guarded(fine)(asked.scope, asked.receive, asked.send)
    assert asked.status == (200 if is_allowed else 421)
