"""The setting `hosts`: where it comes from, what it takes, and that it shows no secret."""

from __future__ import annotations

import json

import pytest

from ollama_mcp.settings import SettingsError, load_settings

HOME = {"HOME": "/nonexistent"}
TWO = {"a": {"url": "10.0.0.1"}, "b": {"url": "10.0.0.2", "headers": {"X-Key": "secret-word"}}}


def test_hosts_come_from_a_variable_as_json():
    loaded = load_settings(environment={**HOME, "OLLAMA_MCP_HOSTS": json.dumps(TWO)})
    assert [host.url for host in loaded.settings.hosts.values()] == ["10.0.0.1", "10.0.0.2"]
    assert loaded.origins["hosts"] == "environment OLLAMA_MCP_HOSTS"


def test_an_address_on_the_command_line_is_the_only_host_of_that_start():
    variables = {**HOME, "OLLAMA_MCP_HOSTS": json.dumps(TWO), "OLLAMA_HOST": "10.0.0.9"}
    assert len(load_settings(environment=variables).settings.hosts) == 2
    one = load_settings({"host": "10.0.0.3"}, environment=variables).settings
    assert (one.host, one.hosts) == ("10.0.0.3", {})
    both = load_settings({"host": "10.0.0.3", "hosts": TWO}, environment=variables).settings
    assert len(both.hosts) == 2


@pytest.mark.parametrize(
    ("hosts", "place"),
    [
        ({"auto": {"url": "x"}}, "hosts.auto"),
        ({"two words": {"url": "x"}}, "hosts.two words"),
        ({"a": {}}, "hosts.a.url"),
        ({"a": {"url": "x", "weight": 0}}, "hosts.a.weight"),
        ({"a": {"url": "x", "limits": {"requests": -1}}}, "hosts.a.limits.requests"),
        ({"a": {"url": "x", "headers": {"X-Key": ["secret-word"]}}}, "hosts.a.headers.X-Key"),
    ],
)
def test_a_wrong_host_is_named_without_what_it_contains(hosts: dict[str, object], place: str):
    with pytest.raises(SettingsError) as caught:
        load_settings({"hosts": hosts}, environment=HOME)
    assert place in caught.value.message and "secret-word" not in str(caught.value)
