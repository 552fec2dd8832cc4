"""What goes out with every request, and which addresses, headers and keys are refused before anything does."""

from __future__ import annotations

import pytest

from ollama_mcp.api import OllamaClient
from ollama_mcp.errors import InvalidArgument
from tests.api.raw import serving, whole

VERSION = whole('{"version":"0.33.0"}')


async def test_headers_are_our_own_and_a_key_is_sent_only_where_one_was_given() -> None:
    async with serving(VERSION) as server:
        async with OllamaClient(server.url + "/ollama/", headers={"X-Proxy": "a"}) as client:
            await client.version()
        async with OllamaClient(server.url, api_key="sk-1") as client:
            await client.version()
        plain, keyed = (request.headers for request in server.requests)
        assert server.requests[0].path == "/ollama/api/version"
        assert plain["user-agent"].startswith("ollama-mcp-server/")
        assert plain["x-proxy"] == "a"
        assert plain["host"] == server.url.removeprefix("http://")
        assert not {"origin", "authorization", "cookie"} & plain.keys()
        assert keyed["authorization"] == "Bearer sk-1"


async def test_cookies_and_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(whole('{"models":[]}', Set_Cookie="a=b")) as server, OllamaClient(server.url) as client:
        await client.tags()
        await client.tags()
        assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize(
    "url", ["127.0.0.1:11434", "ftp://x", "http://", "http://x:99999", "http://x:y", "", "http://x:0"]
)
async def test_an_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="is no http"):
        OllamaClient(url)


@pytest.mark.parametrize("url", ["http://user:secret@host", "http://host?key=secret", "http://host/#secret"])
async def test_an_address_with_a_secret_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        OllamaClient(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "header", [{"Origin": "http://x"}, {"A": "b\r\nC: d"}, {"Ä": "b"}, {"A": "ä"}, {"A b": "c"}, {"": "c"}, {"A": " c"}]
)
async def test_a_header_that_must_not_be_sent_is_refused(header: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        OllamaClient("http://127.0.0.1:1", headers=header)


async def test_a_key_in_a_headers_name_is_not_told() -> None:
    with pytest.raises(InvalidArgument, match="Header 'Authorization' can't be sent") as caught:
        OllamaClient("http://127.0.0.1:1", headers={"Authorization: Bearer 123456": ""})
    assert "123456" not in str(caught.value)


async def test_a_key_that_would_break_the_header_is_refused_without_telling_it() -> None:
    with pytest.raises(InvalidArgument) as caught:
        OllamaClient("http://127.0.0.1:1", api_key="secret\r\nX: y")
    assert "secret" not in str(caught.value)
