"""HTTPS by the certificate of the settings, its renewal, and what a proxy is believed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pydantic import ValidationError

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.transports import tls
from ollama_mcp.server.transports.tls import Certificate
from ollama_mcp.settings.model import HttpSettings
from ollama_mcp.simulator import Simulator
from tests.api.certificates import Authority
from tests.security.team import team_at
from tests.support import served
from tests.transports.wire import modern


def pem(authority: Authority, folder: Path, **given: Any) -> Path:
    """A PEM file with a new certificate and its key."""
    authority.server(**given)
    return max(folder.glob("server*.pem"), key=lambda file: file.stat().st_mtime_ns)


async def serial(url: str, ca: Path) -> int:
    """The serial number of the certificate that a server shows to a client that trusts the CA."""
    context = ssl.create_default_context(cafile=ca)
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
    shown: Any = writer.get_extra_info("peercert")
    writer.close()
    return int(shown["serialNumber"], 16)


async def test_https_is_served_and_plain_http_is_not(simulator: Simulator, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = pem(authority, tmp_path)
    async with served(simulator.url, http={"tls_certificate": str(certificate)}) as url:
        assert url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=authority.ca)
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"Connect an MCP client to https://localhost/mcp" in await reader.read()
        writer.close()
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        old = ssl.create_default_context(cafile=authority.ca)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=old)
        writer.close()


async def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls, "_CHECK_SECONDS", 0.01)
    authority = Authority(tmp_path)
    certificate = tmp_path / "current.pem"
    certificate.write_bytes(pem(authority, tmp_path).read_bytes())
    async with served(simulator.url, http={"tls_certificate": str(certificate)}) as url:
        first = await serial(url, authority.ca)
        certificate.write_text("broken", encoding="utf-8")
        async with asyncio.timeout(30):
            while "the certificate in use stays" not in caplog.text:
                assert await serial(url, authority.ca) == first
        assert await serial(url, authority.ca) == first
        certificate.write_bytes(pem(authority, tmp_path).read_bytes())
        async with asyncio.timeout(30):
            while await serial(url, authority.ca) == first:
                pass


def test_a_certificate_that_cannot_be_used_stops_the_start_with_one_line(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, other = pem(authority, tmp_path), pem(authority, tmp_path)
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate", encoding="utf-8")
    locked = tmp_path / "locked.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    locked.write_bytes(secret + good.read_bytes().split(b"-----END PRIVATE KEY-----\n")[1])
    cases = [
        ({"tls_certificate": "/nowhere.pem"}, "No such file"),
        ({"tls_certificate": str(broken)}, "cannot be used"),
        ({"tls_certificate": str(good), "tls_key": str(broken)}, "cannot be used"),
        ({"tls_certificate": str(good), "tls_key": str(other)}, "KEY_VALUES_MISMATCH"),
        ({"tls_certificate": str(locked)}, "cannot be used"),
    ]
    for given, why in cases:
        with pytest.raises(InvalidArgument, match=why) as caught:
            Certificate(HttpSettings.model_validate(given))
        assert "\n" not in str(caught.value)


def test_a_key_for_all_to_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = pem(Authority(tmp_path), tmp_path)
    file.chmod(0o644)
    Certificate(HttpSettings(tls_certificate=str(file)))
    assert "everybody on this machine may read the key" in caplog.text
    caplog.clear()
    file.chmod(0o640)
    Certificate(HttpSettings(tls_certificate=str(file)))
    assert not caplog.records


async def test_tokens_over_plain_http_are_warned_of(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for http, is_warned in (({"host": "0.0.0.0"}, True), ({"host": "0.0.0.0", "behind_proxy": ["10.0.0.1"]}, False)):
        caplog.clear()
        async with team_at(simulator.url, tmp_path / str(is_warned), http=http):
            assert ("tokens go over plain HTTP at 0.0.0.0" in caplog.text) is is_warned


FORGED = "X-Forwarded-For: 203.0.113.7\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil.com\nForwarded: for=1.2.3.4\n"


@asynccontextmanager
async def behind(simulator: Simulator, folder: Path, *proxies: str) -> AsyncGenerator[Any]:
    async with team_at(simulator.url, folder, http={"behind_proxy": list(proxies)}) as team:
        yield team.peer


async def test_forwarded_headers_count_from_a_named_proxy_only(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for proxies, address, scheme in (
        ([], "127.0.0.1", "http"),
        (["10.0.0.0/8"], "127.0.0.1", "http"),
        (["127.0.0.0/8"], "203.0.113.7", "https"),
    ):
        caplog.clear()
        async with behind(simulator, tmp_path / scheme / address / str(len(proxies)), *proxies) as peer:
            answer = await peer.raw(f"GET / HTTP/1.1\nHost: localhost\n{FORGED}")
            assert answer.status == 401 and f"client to {scheme}://localhost/mcp" in answer.body.decode()
            assert f"401 to GET '/' from {address}: a token is needed" in caplog.text
            assert b"evil.com" not in answer.body


async def test_a_proxy_that_lies_opens_nothing_and_forges_no_log_line(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with behind(simulator, tmp_path, "127.0.0.1") as peer:
        lies = ["127.0.0.1", "::1", "a b' (admin)", "203.0.113.7, 127.0.0.1", "", "x" * 500, "unix:", "[::1]:5"]
        for lie in lies:
            head = f"Host: localhost\nX-Forwarded-For: {lie}\nX-Forwarded-Proto: javascript\n"
            assert (await peer.raw(f"GET /mcp HTTP/1.1\n{head}")).status == 401
        assert (await peer.raw("GET /mcp HTTP/1.1\nHost: evil.com\nX-Forwarded-Host: localhost\n")).status == 421
        answer = await peer.post(modern(1, "tools/list"), "modern", X_Forwarded_For="127.0.0.1", X_Real_IP="::1")
        assert answer.status == 401
    said = [record.getMessage() for record in caplog.records if record.name == "ollama_mcp.http"]
    assert not [line for line in said if "admin" in line or "x" * 50 in line]
    assert any("from unknown: a token is needed" in line for line in said)


@pytest.mark.parametrize("proxies", [["*"], ["proxy.example"], ["10.0.0.1/33"]])
def test_a_proxy_is_an_address(proxies: list[str]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings.model_validate({"behind_proxy": proxies})
