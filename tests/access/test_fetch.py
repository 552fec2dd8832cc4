"""What is fetched from foreign addresses, and above all what is not."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
import tracemalloc
from pathlib import Path

import pytest

from ollama_mcp.access import Access, ReadRules
from ollama_mcp.errors import InvalidArgument, NotAllowed, OllamaMCPError
from ollama_mcp.settings.access import ReadSettings, UrlSettings
from tests.access.conftest import CANARY, Machine
from tests.access.fake_network import (
    NOT_PUBLIC,
    OTHER_PUBLIC,
    PUBLIC,
    Detour,
    Handler,
    Names,
    Site,
    answer,
    listening,
    redirect,
)
from tests.api.certificates import CA_KEY_USAGE
from tests.support import until

ON = UrlSettings(enabled=True)


def make_access(
    machine: Machine, site: Site, urls: UrlSettings = ON, names: Names | None = None
) -> tuple[Access, Detour]:
    detour = Detour({PUBLIC: site})
    resolver = names or Names({"public.test": [[PUBLIC]]})
    return Access(ReadRules(ReadSettings(), machine.environment()), urls, resolver, detour), detour


async def refusal(access: Access, url: str) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught:
        await access.fetch(url)
    assert len(str(caught.value)) <= 400
    assert CANARY not in str(caught.value)
    return caught.value


async def test_fetching_is_off_by_default(machine: Machine, site: Site) -> None:
    access, detour = make_access(machine, site, UrlSettings())
    error = await refusal(access, f"http://public.test/a.png?sig={CANARY}")
    assert isinstance(error, NotAllowed)
    assert "urls.enabled" in error.message
    assert detour.dialled == []


async def test_a_public_address_is_fetched_with_the_name_as_host(machine: Machine, site: Site) -> None:
    access, detour = make_access(machine, site)
    assert await access.fetch("http://public.test/a.png") == b"pixels"
    assert detour.dialled == [(PUBLIC, 80)]
    assert "\r\nHost: public.test\r\n" in site.heads[0]
    assert "\r\nAccept-Encoding: identity\r\n" in site.heads[0]


async def test_https_checks_the_certificate_of_the_name_at_the_checked_address(
    machine: Machine, tmp_path: Path
) -> None:
    server, client = _certified("public.test", tmp_path)
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    async with listening({"/a.png": answer(b"pixels")}, tls=server) as site:
        detour = Detour({PUBLIC: site})
        resolver = Names({"public.test": [[PUBLIC]], "impostor.test": [[PUBLIC]]})
        access = Access(ReadRules(ReadSettings(), machine.environment()), ON, resolver, detour, client)
        assert await access.fetch("https://public.test/a.png") == b"pixels"
        assert detour.dialled == [(PUBLIC, 443)]
        assert names == ["public.test"]
        await refusal(access, "https://impostor.test/a.png")
        await refusal(Access(access.read_rules, ON, resolver, detour), "https://public.test/a.png")


async def test_a_fetch_cancelled_at_any_moment_leaves_no_connection(machine: Machine, tmp_path: Path) -> None:
    server, client = _certified("public.test", tmp_path)
    async with listening({"/a.png": answer(b"pixels")}, tls=server) as site:
        detour = Detour({PUBLIC: site})
        resolver = Names({"public.test": [[PUBLIC]]})
        access = Access(ReadRules(ReadSettings(), machine.environment()), ON, resolver, detour, client)
        turns, ended = 0, False
        while not ended:
            fetching = asyncio.create_task(access.fetch("https://public.test/a.png"))
            for _ in range(turns):
                await asyncio.sleep(0)
            ended = not fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
            turns += 1
        await until(lambda: all(opened.fileno() < 0 for opened in detour.sockets))
        assert len(detour.sockets) > 5


@pytest.mark.parametrize("address", [address for address in NOT_PUBLIC if address and "%" not in address])
async def test_a_name_that_leads_to_a_special_address_is_never_connected(
    machine: Machine, site: Site, address: str
) -> None:
    access, detour = make_access(machine, site, names=Names({"public.test": [[address]]}))
    assert isinstance(await refusal(access, "http://public.test/a.png"), NotAllowed)
    literal = f"http://[{address}]/" if ":" in address else f"http://{address}/"
    assert isinstance(await refusal(access, literal), NotAllowed)
    assert detour.dialled == []


SPELLINGS = [
    *("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1"),
    *("0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[::127.0.0.1]", "[fe80::1%25lo]", "[fe80::1]", "169.254.169.254", "100.100.100.200", "168.63.129.16"),
    *(
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "\uff11\uff12\uff17.0.0.1",
        "loc%61lhost",
        "user:pw@127.0.0.1",
        "public.test@127.0.0.1",
    ),
    *("127.0.0.1#@public.test", "127.0.0.1\\@public.test", "foo.localhost", "ip6-localhost", "HOSTNAME"),
    *("[::ffff:169.254.169.254]", "017700000001", "127.0.0.1.", "0x7f.0x0.0x0.0x1"),
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_reaches_this_machine_by_the_systems_own_resolver(machine: Machine, host: str) -> None:
    host = socket.gethostname() if host == "HOSTNAME" else host
    async with listening({"/": answer(CANARY.encode())}) as inside:
        access = Access(
            ReadRules(ReadSettings(), machine.environment()), UrlSettings(enabled=True, ports=[80, inside.port])
        )
        mark = host.find("#") if "#" in host else host.find("\\") if "\\" in host else len(host)
        await refusal(access, f"http://{host[:mark]}:{inside.port}{host[mark:]}/")
        assert inside.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        *("http://127.0.0.1/", "http://internal.test/", "http://[::1]/", "//127.0.0.1/", "http://public.test:22/"),
        *("file:///etc/passwd", "ftp://public.test/a", "http://x:y@public.test/", "", "http://[bad/"),
    ],
)
async def test_a_redirect_is_checked_anew(machine: Machine, location: str) -> None:
    async with listening({"/r": redirect(location)}) as site:
        access, detour = make_access(
            machine, site, names=Names({"public.test": [[PUBLIC]], "internal.test": [["10.0.0.1"]]})
        )
        await refusal(access, "http://public.test/r")
        assert {address for address, _ in detour.dialled} == {PUBLIC}


async def test_three_redirects_are_followed_and_not_four(machine: Machine) -> None:
    pages: dict[str, bytes | Handler] = {f"/{n}": redirect(f"/{n - 1}") for n in range(1, 5)}
    async with listening({**pages, "/0": answer(b"pixels")}) as site:
        access, _ = make_access(machine, site)
        assert await access.fetch("http://public.test/3") == b"pixels"
        assert "urls.max_redirects" in (await refusal(access, "http://public.test/4")).message


async def test_a_cookie_does_not_travel_with_a_redirect(machine: Machine) -> None:
    pages: dict[str, bytes | Handler] = {"/r": redirect("/a.png", "Set-Cookie: a=b\r\n"), "/a.png": answer()}
    async with listening(pages) as site:
        access, _ = make_access(machine, site)
        await access.fetch("http://public.test/r")
        assert "cookie" not in site.heads[1].lower()


async def test_a_name_that_changes_its_address_is_connected_where_it_was_checked(machine: Machine, site: Site) -> None:
    names = Names({"rebind.test": [[PUBLIC], ["127.0.0.1"]]})
    access, detour = make_access(machine, site, names=names)
    assert await access.fetch("http://rebind.test/a.png") == b"pixels"
    assert isinstance(await refusal(access, "http://rebind.test/a.png"), NotAllowed)
    assert detour.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize("records", [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"]])
async def test_one_private_record_among_public_ones_refuses_the_name(
    machine: Machine, site: Site, records: list[str]
) -> None:
    access, detour = make_access(machine, site, names=Names({"mixed.test": [records]}))
    await refusal(access, "http://mixed.test/a.png")
    assert detour.dialled == []


async def test_the_next_address_is_tried_when_one_is_dead_and_at_most_four(machine: Machine, site: Site) -> None:
    names = Names({"public.test": [[OTHER_PUBLIC, PUBLIC]], "dead.test": [[OTHER_PUBLIC] * 9]})
    access, detour = make_access(machine, site, names=names)
    assert await access.fetch("http://public.test/a.png") == b"pixels"
    assert isinstance(await refusal(access, "http://dead.test/a.png"), InvalidArgument)
    assert len(detour.dialled) == 2 + 4


async def test_an_unknown_name_and_an_internal_one_read_the_same(machine: Machine, site: Site) -> None:
    access, _ = make_access(machine, site, names=Names({"aa.test": [["10.0.0.1"]]}))
    known, unknown = await refusal(access, "http://aa.test/"), await refusal(access, "http://bb.test/")
    assert str(known).replace("aa.test", "bb.test") == str(unknown)
    assert "10.0.0.1" not in str(known)


@pytest.mark.parametrize("port", [22, 25, 6379, 11434])
async def test_other_ports_than_80_and_443_are_refused_unless_listed(machine: Machine, site: Site, port: int) -> None:
    access, detour = make_access(machine, site)
    assert "urls.ports" in (await refusal(access, f"http://public.test:{port}/a.png")).message
    assert detour.dialled == []
    listed, detour = make_access(machine, site, UrlSettings(enabled=True, ports=[port]))
    assert await listed.fetch(f"http://public.test:{port}/a.png") == b"pixels"
    assert detour.dialled == [(PUBLIC, port)]


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{CANARY}@public.test/a.png",
        "http://public.test\\@evil.test/",
        "http://public.test/a\tb",
        "http://public.test/a\r\nX-Injected: 1",
        "http://public.test /",
        "http://pub\nlic.test/",
        "http://public.test/\u202e",
        "http:///a.png",
        "http:public.test",
        "https://",
        "http://[::1/",
        f"http://public.test/{'a' * 5000}",
        "ftp://public.test/a.png",
    ],
)
async def test_urls_with_user_info_or_odd_characters_are_refused(machine: Machine, site: Site, url: str) -> None:
    access, detour = make_access(machine, site)
    await refusal(access, url)
    assert detour.dialled == []


async def test_an_encoded_line_break_injects_no_header(machine: Machine, site: Site) -> None:
    access, _ = make_access(machine, site)
    await refusal(access, "http://public.test/%0d%0aX-Injected:%201")
    assert "\r\nX-Injected" not in site.heads[0]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
async def test_proxies_and_netrc_of_the_environment_are_not_used(
    machine: Machine, site: Site, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async with listening() as sink:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{sink.port}")
        netrc = machine.home / ".netrc"
        netrc.write_text(f"machine public.test login me password {CANARY}\n", encoding="utf-8")
        monkeypatch.setenv("NETRC", str(netrc))
        access, _ = make_access(machine, site)
        assert await access.fetch("http://public.test/a.png") == b"pixels"
        assert sink.connections == 0
        assert "authorization" not in site.heads[0].lower()


async def test_a_proxy_that_is_trusted_by_setting_is_used_and_checks_names_itself(machine: Machine) -> None:
    async with listening({"http://public.test/a.png": answer(b"pixels")}) as proxy:
        urls = UrlSettings(enabled=True, trusted_proxy=f"http://me:pw@127.0.0.1:{proxy.port}")
        access = Access(ReadRules(ReadSettings(), machine.environment()), urls, Names({}))
        assert await access.fetch("http://public.test/a.png") == b"pixels"
        assert "Proxy-Authorization: Basic" in proxy.heads[0]
        assert isinstance(await refusal(access, "http://127.0.0.1/a.png"), NotAllowed)
        assert proxy.connections == 1
        assert isinstance(await refusal(access, "https://public.test/a.png"), InvalidArgument)


async def _endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


async def _silent(_head: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _dripping(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_an_endless_body_stops_at_the_limit_without_filling_the_memory(machine: Machine) -> None:
    async with listening({"/a.png": _endless}) as site:
        access, _ = make_access(machine, site)
        tracemalloc.start()
        try:
            assert "urls.max_bytes" in (await refusal(access, "http://public.test/a.png")).message
            assert tracemalloc.get_traced_memory()[1] < 60_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("page", [_silent, _dripping])
async def test_a_slow_server_ends_with_the_time_limit(machine: Machine, page: Handler) -> None:
    async with listening({"/a.png": page}) as site:
        access, _ = make_access(machine, site, UrlSettings(enabled=True, timeout=0.2))
        assert "urls.timeout" in (await refusal(access, "http://public.test/a.png")).message


@pytest.mark.parametrize(
    ("page", "word"),
    [
        (answer(headers="Content-Encoding: gzip\r\n"), "Content-Encoding"),
        (answer(gzip.compress(bytes(1 << 20)), headers="Content-Encoding: x-gzip, br\r\n"), "Content-Encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n", "urls.max_bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "HTTP"),
        (answer(status="403 Forbidden"), "403"),
        (answer(status="304 Not Modified"), "304"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "HTTP"),
        (b"", "HTTP"),
    ],
)
async def test_bad_answers_are_errors_that_say_why(machine: Machine, page: bytes, word: str) -> None:
    async with listening({"/a.png": page}) as site:
        access, _ = make_access(machine, site)
        error = await refusal(access, "http://public.test/a.png")
        assert isinstance(error, InvalidArgument)
        assert word in error.message


async def test_a_body_with_identity_encoding_is_plain(machine: Machine) -> None:
    async with listening({"/a": answer(b"x", headers="Content-Encoding: identity\r\n")}) as site:
        access, _ = make_access(machine, site)
        assert await access.fetch("http://public.test/a") == b"x"


def _certified(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(CA_KEY_USAGE, critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
