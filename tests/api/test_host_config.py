"""The headers of every request, refused addresses, headers and keys, and the certificates that TLS trusts."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import DNSName

from ollama_mcp.api import ClientTimeouts, OllamaClient
from ollama_mcp.errors import InvalidArgument, Unreachable
from tests.api.certificates import LOOPBACK, Authority
from tests.api.failing import failure
from tests.api.raw_server import response, serving

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509 import GeneralName

VERSION = response('{"version":"0.33.0"}')


async def test_tls_works_with_the_hosts_ca_or_without_a_check(authority: Authority) -> None:
    context = authority.server()
    async with serving(VERSION, tls=context) as server:
        async with OllamaClient(server.url, ca_file=str(authority.ca)) as client:
            assert await client.version() == "0.33.0"
            await asyncio.gather(client.ping(), client.ping())
            assert len(server.connections) == 2
        async with OllamaClient(server.url, verify=False) as client:
            assert await client.version() == "0.33.0"


async def test_a_ca_file_that_is_none_is_refused(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "empty.pem").write_text("nothing", encoding="utf-8")
    async with serving(VERSION, tls=authority.server()) as server:
        for file in ("absent.pem", "empty.pem"):
            async with OllamaClient(server.url, ca_file=str(tmp_path / file)) as client:
                with pytest.raises(InvalidArgument, match=file):
                    await client.version()


@pytest.mark.parametrize(
    ("host", "days", "signed", "why"),
    [
        (LOOPBACK, -1, True, "expired"),
        (DNSName("other.example"), 2, True, "for another name"),
        (LOOPBACK, 2, False, "self-signed"),
    ],
)
async def test_a_certificate_that_fails_is_said_and_not_tried_again(
    authority: Authority, host: GeneralName, days: int, signed: bool, why: str
) -> None:
    async with serving(VERSION, tls=authority.server(host, days=days, signed=signed)) as server:
        error = await failure(server.url, ca_file=str(authority.ca))
        assert type(error) is Unreachable
        assert why in error.message
        assert not server.connections


async def test_an_unknown_ca_is_said_with_the_setting(authority: Authority) -> None:
    async with serving(VERSION, tls=authority.server()) as server:
        error = await failure(server.url)
        assert "unknown issuer" in error.message
        assert "CA file" in error.next_step


async def test_a_certificate_that_lacks_something_is_no_matter_of_trust(authority: Authority, tmp_path: Path) -> None:
    async with serving(VERSION, tls=authority.server(only_for_clients=True)) as server:
        error = await failure(server.url, ca_file=str(authority.ca))
    assert "refused (un" in error.message and "purpose" in error.message
    assert "CA file" not in error.next_step

    bare = Authority(tmp_path, key_usage=False)
    async with serving(VERSION, tls=bare.server()) as server:
        if ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT:
            error = await failure(server.url, ca_file=str(bare.ca))
            assert "refused (CA cert does not include key usage extension)" in error.message
            assert "CA's" in error.next_step
        else:
            async with OllamaClient(server.url, ca_file=str(bare.ca)) as client:
                assert await client.version() == "0.33.0"


async def test_a_plain_server_behind_https_is_said() -> None:
    def answer_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_at_once, "127.0.0.1", 0) as server:
        error = await failure(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert type(error) is Unreachable
    assert "http://" in error.next_step


async def test_a_tls_handshake_that_stalls_is_given_up_in_time() -> None:
    async with serving(VERSION) as server:
        error = await failure(server.url.replace("http:", "https:"), ClientTimeouts(connect=0.1))
        assert type(error) is Unreachable
        async with asyncio.timeout(30):
            await server.connections[0].gone.wait()


async def test_tls_that_breaks_off_is_said() -> None:
    refusing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with serving(VERSION, tls=refusing) as server:
        error = await failure(server.url)
        assert type(error) is Unreachable
        assert "TLS failed" in error.message


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
    async with serving(response('{"models":[]}', Set_Cookie="a=b")) as server, OllamaClient(server.url) as client:
        await client.tags()
        await client.tags()
        assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize(
    "url", ["127.0.0.1:11434", "ftp://x", "http://", "http://x:99999", "http://x:y", "", "http://x:0"]
)
async def test_an_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="is not an http"):
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
