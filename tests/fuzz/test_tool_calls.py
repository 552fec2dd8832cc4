"""Calls that a schema allows, or nearly: an answer, or an error that says what to do, never a fault of the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.conftest import FuzzedServer
from tests.fuzz.schemas import Schema, Value, anything, near_valid_call, valid_call
from tests.tasks.support import METHODS
from tests.tasks.test_wire import declared
from tests.transports.wire import modern

# One server for all examples is the point: each has to survive what the ones before did.
SHARED = [HealthCheck.too_slow, HealthCheck.data_too_large]
_QUICK, _MANY = 60, 1_500


def hold(server: FuzzedServer, data: st.DataObject, make: Callable[[str, Schema], Value]) -> None:
    """Draw one call of any tool, make it, and hold its answer to the rules."""
    name = data.draw(st.sampled_from(sorted(server.tools)), label="tool")
    server.call(
        name, data.draw(_strategy(make, name, json.dumps(server.tools[name]["inputSchema"])), label="arguments")
    )


@cache
def _strategy(make: Callable[[str, Schema], Value], tool: str, schema: str) -> Value:
    return make(tool, json.loads(schema))


@settings(max_examples=_QUICK, suppress_health_check=SHARED)
@given(data=st.data())
def test_valid_calls(server: FuzzedServer, data: st.DataObject) -> None:
    hold(server, data, valid_call)


@settings(max_examples=_QUICK, suppress_health_check=SHARED)
@given(data=st.data())
def test_nearly_valid_calls(server: FuzzedServer, data: st.DataObject) -> None:
    hold(server, data, near_valid_call)


@pytest.mark.slow
@settings(max_examples=_MANY, suppress_health_check=SHARED)
@given(data=st.data())
def test_thousands_of_valid_calls(server: FuzzedServer, data: st.DataObject) -> None:
    hold(server, data, valid_call)


@pytest.mark.slow
@settings(max_examples=_MANY, suppress_health_check=SHARED)
@given(data=st.data())
def test_thousands_of_nearly_valid_calls(server: FuzzedServer, data: st.DataObject) -> None:
    hold(server, data, near_valid_call)


@settings(max_examples=_QUICK, suppress_health_check=SHARED)
@given(
    params=st.fixed_dictionaries({}, optional={"name": anything, "arguments": anything, "_meta": anything}),
    method=st.sampled_from(
        ["tools/call", "tools/list", "prompts/get", "resources/read", "completion/complete", "logging/setLevel", "x"]
    ),
)
def test_params_of_any_form(server: FuzzedServer, method: str, params: dict[str, Any]) -> None:
    server.check(server.peer.ask({"jsonrpc": "2.0", "id": "odd", "method": method, "params": params}))


@settings(max_examples=_QUICK, suppress_health_check=SHARED)
@given(
    params=st.fixed_dictionaries({}, optional={"taskId": anything, "inputResponses": anything}),
    method=st.sampled_from([method for method, _ in METHODS]),
)
def test_requests_about_tasks_of_any_form(server: FuzzedServer, method: str, params: dict[str, Any]) -> None:
    answer = server.peer.ask(declared(modern("odd", method, params)))
    assert "error" in answer
    server.check(answer)
