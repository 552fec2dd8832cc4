"""Who is let in over HTTP: tokens, what a request presents, and the file that has their digests."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.server.auth.authenticator import TokenAuthenticator, Unauthenticated
from ollama_mcp.server.auth.token_file import add_token, digest_of, read_tokens, revoke_token
from ollama_mcp.simulator import Simulator
from tests.security.team import team_at
from tests.support import until
from tests.transports.wire import call, initialize, modern

PATHS = [("http", "POST", "/mcp"), ("http", "GET", "/nowhere"), ("http", "DELETE", "/mcp"), ("sse", "GET", "/sse")]
MORE_PATHS = [("sse", "POST", "/messages/?session_id=0"), ("http", "GET", "/metrics"), ("http", "OPTIONS", "/mcp")]


@pytest.mark.parametrize(("kind", "method", "path"), [*PATHS, *MORE_PATHS])
async def test_without_a_token_every_route_is_unauthorized(
    simulator: Simulator, tmp_path: Path, kind: str, method: str, path: str
) -> None:
    async with team_at(simulator.url, tmp_path, kind=kind) as team:  # pyright: ignore[reportArgumentType]
        answer = await team.peer.raw(f"{method} {path} HTTP/1.1\nHost: localhost\nContent-Length: 2\n", b"{}")
        assert answer.status == 401
        assert answer.header("www-authenticate") == 'Bearer realm="ollama-mcp-server", scope="read use"'
        assert answer.body == b"a token is needed"
        for probe in ("/healthz", "/readyz"):
            assert (await team.peer.raw(f"GET {probe} HTTP/1.1\nHost: evil.com\n")).body == b"ok"


async def test_what_is_not_exactly_one_known_token_is_unauthorized(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path) as team:
        good = team.secrets["user"]
        request, body = team.peer.head(modern(1, "server/discover"), "modern")
        wrong = [
            "Bearer x",
            f"Bearer {good[:-1]}",
            f"Bearer {good}x",
            "Bearer",
            "Bearer ",
            "Basic eA==",
        ]
        wrong += [
            f"Token {good}",
            good,
            f"Bearer  {good}",
            f"Bearer {good}, Bearer {good}",
            f"Bearer {digest_of(good).hex()}",
        ]
        wrong += ["Bearer \xff\xfe", f"Bearer {'x' * 30_000}"]
        for value in wrong:
            answer = await team.peer.raw(f"{request}Authorization: {value}\n", body)
            assert answer.status == 401 or (len(value) > 20_000 and answer.status == 400), value
            assert answer.status == 400 or 'error="invalid_' in (answer.header("www-authenticate") or "")
            assert good.encode() not in answer.body
        # What no header may have is refused before it is read as one.
        for value in (f"Bearer {good}\0", f"Bearer {good}\r\n X: y", "Bearer a\rb"):
            assert (await team.peer.raw(f"{request}Authorization: {value}\n", body)).status in (400, 401), value
        line = f"Authorization: Bearer {good}\n"
        assert (await team.peer.raw(f"{request}{line}{line}", body)).status == 401
        assert (
            await team.peer.raw(request.replace("/mcp", f"/mcp?token={good}&access_token={good}"), body)
        ).status == 401
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert (await team.peer.raw(f"{request}Authorization: {scheme} {good}\n", body)).status == 200


async def test_host_and_origin_are_judged_before_the_token(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path) as team:
        headers = team.headers("admin")
        foreign = await team.peer.post(modern(1, "server/discover"), "modern", Host="evil.com", **headers)
        assert foreign.status == 421
        page = await team.peer.post(modern(1, "server/discover"), "modern", Origin="http://evil.com", **headers)
        assert page.status == 403


async def test_a_person_is_told_what_this_is_and_how_to_connect(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path) as team:
        for path in ("/", "/mcp"):
            answer = await team.peer.raw(f"GET {path} HTTP/1.1\nHost: 127.0.0.1:{team.peer.port}\nAccept: text/html\n")
            assert answer.status == 401
            text = answer.body.decode()
            assert f'--header "Authorization: Bearer TOKEN" ollama {team.url}' in text
            assert not any(secret in text for secret in team.secrets.values())


async def test_a_preflight_needs_no_token_and_a_request_of_the_page_does(simulator: Simulator, tmp_path: Path) -> None:
    page = "http://localhost:6274"
    async with team_at(simulator.url, tmp_path, http={"allowed_origins": [page]}) as team:
        fields = f"Host: localhost\nOrigin: {page}\nAccess-Control-Request-Method: POST\n"
        asked = await team.peer.raw(f"OPTIONS /mcp HTTP/1.1\n{fields}Access-Control-Request-Headers: authorization\n")
        assert (asked.status, asked.header("access-control-allow-origin")) == (200, page)
        refused = await team.peer.post(modern(1, "server/discover"), "modern", Origin=page)
        assert (refused.status, refused.header("access-control-allow-origin")) == (401, page)
        assert refused.header("access-control-expose-headers") == "www-authenticate"


async def test_a_token_without_a_scope_to_read_is_forbidden(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path, more={"files": ["files"]}) as team:
        answer = await team.peer.post(initialize(), **team.headers("files"))
        assert 'error="insufficient_scope", scope="read use"' in (answer.header("www-authenticate") or "")


async def test_no_token_is_logged(simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with team_at(simulator.url, tmp_path) as team, team.client("user") as client:
            await client.call_tool("ollama_status", {})
            await team.peer.post(initialize(), Authorization="Bearer omcp_wrong")
            await team.peer.post(call(1, "ollama_status"), **team.headers("admin"), Mcp_Session_Id="0" * 32)
    ours = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith(("ollama_mcp", "mcp.ser"))
    )
    assert "401 to POST '/mcp' from 127.0.0.1: the token is not known or was revoked" in ours
    assert not any(secret in ours for secret in (*team.secrets.values(), "omcp_wrong"))


@pytest.mark.slow
async def test_a_hundred_tokens_revoked_under_load(simulator: Simulator, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    names = [f"user{number}" for number in range(100)]
    async with team_at(simulator.url, tmp_path, more={name: ["use"] for name in names}) as team:
        seen: dict[str, list[int]] = {name: [] for name in names}
        done = asyncio.Event()

        async def load(part: list[str]) -> None:
            while not done.is_set():
                for name in part:
                    seen[name].append(await team.status(name))

        tasks = [asyncio.create_task(load(names[start::8])) for start in range(8)]
        await until(lambda: all(seen.values()))
        for name in names:
            await asyncio.to_thread(revoke_token, file, name)
        revoked = {name: len(answers) for name, answers in seen.items()}
        # By then every name has been asked again after the file was read again.
        await until(lambda: all(answers[revoked[name] :].count(401) >= 2 for name, answers in seen.items()), 60)
        done.set()
        await asyncio.gather(*tasks)
        assert {code for answers in seen.values() for code in answers} == {200, 401}
        for answers in seen.values():
            first = answers.index(401)
            assert 200 not in answers[first:]
        assert await team.status("user") == 200


async def test_a_session_is_for_its_token_alone_and_ends_with_it(simulator: Simulator, tmp_path: Path) -> None:
    async with team_at(simulator.url, tmp_path) as team:
        peer = team.peer
        opened = await peer.post(initialize(), **team.headers("user"))
        session = opened.header("mcp-session-id")
        assert opened.status == 200 and session
        ours, theirs = team.headers("user"), team.headers("admin")
        assert (await peer.post(call(1, "ollama_status"), Mcp_Session_Id=session, **theirs)).status == 404
        assert (await peer.post(call(2, "ollama_status"), Mcp_Session_Id=session, **ours)).status == 200
        revoke_token(team.file, "user")
        await team.until("user", 401)
        assert (await peer.post(call(3, "ollama_status"), Mcp_Session_Id=session, **ours)).status == 401


def test_the_file_has_digests_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "team" / "tokens"
    secret = add_token(file, "ann", ["use", "read"])
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"ann read,use sha256:{digest_of(secret).hex()} ")
    assert secret not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(secret) >= 43
    with pytest.raises(InvalidArgument, match="'ann' already"):
        add_token(file, "ann", ["use"])
    for name in ("", "local", "auto", "-x", "a b", "a\nb", "a" * 65, "ä"):
        with pytest.raises(InvalidArgument, match="no name of a token"):
            add_token(file, name, ["use"])
    for scopes in ([], ["admin"], ["read", "USE"], ["read-all"]):
        with pytest.raises(InvalidArgument, match=r"Scopes: read, use, manage, files, metrics\."):
            add_token(file, "bob", scopes)
    with pytest.raises(InvalidArgument, match="no token 'bob'"):
        revoke_token(file, "bob")
    assert [token.name for token in read_tokens(file)] == ["ann"]


def test_commands_at_the_same_time_lose_no_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"

    def add(number: int) -> str:
        return add_token(file, f"user{number}", ["use"])

    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(add, range(40)))
    assert {token.digest for token in read_tokens(file)} == set(map(digest_of, secrets))
    assert len(set(secrets)) == 40


LINE = f"ann use sha256:{'0' * 64} 2026-11-27\n"
OTHER = f"bob use sha256:{'1' * 64} 2026-11-27\n"
BROKEN = {
    "begins with a byte order mark": "\ufeff" + LINE,
    "has line ends of Windows": LINE.replace("\n", "\r\n"),
    "has a line 2 that is empty": LINE + "\n" + OTHER,
    "has a line 1 that is empty": "\n",
    "has a line 2 that is no token": LINE + "omcp_SECRET\n",
    "has a line 1 that is no token": LINE.replace("use", "admin"),
    "has a line 3 that is no token": LINE + OTHER + LINE.replace("ann", "local").replace("0" * 64, "2" * 64),
    "has a line 2 that repeats another": LINE + LINE.replace("ann", "bob"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_broken_file_stops_the_start_with_one_line(tmp_path: Path, why: str) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(BROKEN[why].encode())
    file.chmod(0o600)
    with pytest.raises(DiskError) as caught:
        TokenAuthenticator(file)
    assert why in str(caught.value) and str(file) in str(caught.value)
    assert "token add" in str(caught.value)
    assert "SECRET" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="owner and mode are POSIX's")
def test_a_file_that_others_control_stops_the_start(tmp_path: Path) -> None:
    real, file = tmp_path / "real", tmp_path / "tokens"
    add_token(real, "ann", ["use"])
    file.symlink_to(real)
    before = real.read_bytes()
    for change in (lambda: add_token(file, "eve", ["manage"]), lambda: revoke_token(file, "ann")):
        with pytest.raises(DiskError, match="is a symbolic link"):
            change()
    assert real.read_bytes() == before
    cases = {"is a symbolic link": lambda: None, "can be written by others": lambda: _replace(file, real, 0o620)}
    cases["is not a file"] = lambda: _replace_by_pipe(file)
    for why, prepare in cases.items():
        prepare()
        with pytest.raises(DiskError, match=why):
            TokenAuthenticator(file)
    file.unlink()
    # As an orchestrator makes it where what it is to mount is missing.
    file.mkdir()
    with pytest.raises(DiskError, match="is not a file"):
        TokenAuthenticator(file)
    with pytest.raises(DiskError, match="cannot be read: No such file"):
        TokenAuthenticator(tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    add_token(file, "ann", ["use"])
    os.chown(file, 12_345, -1)
    with pytest.raises(DiskError, match=r"belongs to another user \(uid 12345\)"):
        TokenAuthenticator(file)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_a_file_that_others_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens"
    secret = add_token(file, "ann", ["use"])
    file.chmod(0o644)
    known = TokenAuthenticator(file)
    assert [record.getMessage() for record in caplog.records] == [
        f"others may read the file of tokens {file} (mode 0644): run chmod 600 on it"
    ]
    assert (await known.authenticate(secret)).name == "ann"


@pytest.mark.parametrize("how", ["removed", "broken", "replaced by a link", "mode changed"])
async def test_a_file_that_becomes_unusable_lets_nobody_in(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens"
    secret = add_token(file, "ann", ["use"])
    known = TokenAuthenticator(file)
    assert (await known.authenticate(secret)).name == "ann"
    times = file.stat()
    match how:
        case "removed":
            file.unlink()
        case "broken":
            file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        case "mode changed":
            file.chmod(0o666)
        case _:
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
    if how == "broken":
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    async with asyncio.timeout(60):
        with pytest.raises(Unauthenticated):
            while True:
                await known.authenticate(secret)
                await asyncio.sleep(0)
    assert "no token of the file is accepted now" in caplog.text
    assert secret not in caplog.text


def _replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _replace(file: Path, source: Path, mode: int) -> None:
    file.unlink()
    file.write_bytes(source.read_bytes())
    file.chmod(mode)
