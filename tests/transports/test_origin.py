"""Host and Origin rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.server.transports.origin import host_is_allowed, is_loopback, origin_is_allowed

THIS_MACHINE = """
localhost LOCALHOST:80 localhost.:8000 127.0.0.1 127.0.0.1:1 127.8.9.1:65535 [::1] [::1]:80 [0:0:0:0:0:0:0:1]:9
"""

ANYTHING_ELSE = r"""
:80 evil.com evil.com:8000 localhost:80.evil.com 127.0.0.1:9.evil.com localhost: localhost:x localhost:65536
localhost:123456 127.0.0.1.evil.com localhost.evil.com 0.0.0.0 10.0.0.1 [::] ::1 [::1 [::ffff:127.0.0.1] 127.1
0127.0.0.1 0x7f.0.0.1 2130706433 user@localhost localhost,evil.com localhost/.. localhost# localhost\ localhost..
%6cocalhost
"""


@pytest.mark.parametrize("value", THIS_MACHINE.split())
def test_every_spelling_of_this_machine_is_allowed(value: str) -> None:
    assert host_is_allowed(value)


@pytest.mark.parametrize("value", ["", " ", "localhost evil.com", "localhost\n", *ANYTHING_ELSE.split()])
def test_anything_else_is_not(value: str) -> None:
    assert not host_is_allowed(value)


def test_further_names_are_allowed_with_any_port_or_with_their_own() -> None:
    assert host_is_allowed("Box.Lan:9000", ["box.lan"])
    assert host_is_allowed("box.lan.", ["box.lan"])
    assert host_is_allowed("box.lan:80", ["box.lan:80"])
    assert not host_is_allowed("box.lan:81", ["box.lan:80"])
    assert not host_is_allowed("box.lan", ["box.lan:80"])
    assert not host_is_allowed("my-box.lan", ["box.lan"])


@given(st.text(max_size=40))
def test_no_host_that_is_allowed_could_resolve_to_another_machine(value: str) -> None:
    if host_is_allowed(value):
        name = value.lower().rsplit(":", 1)[0] if not value.endswith("]") else value
        assert is_loopback(name)


def test_no_origin_is_allowed_unless_listed() -> None:
    listed = ["http://localhost:6274", "https://Example.com/"]
    assert origin_is_allowed("http://localhost:6274", listed)
    assert origin_is_allowed("HTTPS://example.com", listed)
    for value in (
        "http://localhost",
        "http://localhost:62745",
        "https://localhost:6274",
        "null",
        "",
        "http://evil.com",
    ):
        assert not origin_is_allowed(value, [*listed, "null"])
    assert not origin_is_allowed("http://localhost:6274")
