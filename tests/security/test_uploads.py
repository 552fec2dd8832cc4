"""Files that clients send by POST /files: whose they are, what is taken, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ollama_mcp.server.auth.token_file import revoke_token
from ollama_mcp.simulator import Simulator
from tests.security.team import team_at
from tests.security.test_team_command import serving
from tests.security.uploads import MODEL, on_disk, png, team_with_files
from tests.support import data, error, text, texts, until


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_file_that_was_sent_is_read_by_its_name(simulator: Simulator, tmp_path: Path, kind: Any) -> None:
    async with team_with_files(simulator, tmp_path, kind=kind) as (team, ann, _):
        note = await ann.name("note.txt", b"first\nsecond CANARY\nthird\n")
        image = await ann.name("image.png", png())
        table = await ann.name("table.csv", b"word\none\ntwo\n")
        async with team.client("ann") as client:
            for given in (note, "upload:note.txt", f"{note}:2-2", "upload:note.txt:2", "upload:n*.txt"):
                simulator.log.clear()
                said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [given]})
                assert note in texts(said)[-1], given
                (sent,) = [one for one in simulator.requests if one.path == "/api/chat"]
                assert b"second CANARY" in sent.body and (b"first" in sent.body) is (not re.search(r":2(-2)?$", given))
            for argument in ("images", "files"):
                seen = await client.call_tool("ollama_chat", {"model": "gemma3:4b", "prompt": "?", argument: [image]})
                assert not seen.is_error, texts(seen)
                assert simulator.requests[-1].json["messages"][-1]["images"], argument
            batch = {"model": MODEL, "input": [table], "prompt": "Say {word}"}
            assert "2 rows" in texts(await client.call_tool("ollama_batch", batch))[0]
            both = {"model": "gemma3:4b", "input": [note, image], "prompt": "Say it"}
            assert "2 rows" in texts(await client.call_tool("ollama_batch", both))[0]
            left = ["upload:*", "!*.csv", "!*.png"]
            said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": left})
            assert note in texts(said)[-1] and table not in str(said)


async def test_what_one_has_sent_is_unknown_to_others(simulator: Simulator, tmp_path: Path) -> None:
    # Without folders: what they sent is all that they may name.
    async with team_with_files(simulator, tmp_path) as (team, ann, bob):
        name = await ann.name("note.txt", b"CANARY\n")
        file_id = name.removeprefix("upload:").partition("/")[0]
        assert await ann.names() == [name] and await bob.names() == []
        async with team.client("bob") as client:
            for given in (name, "upload:note.txt", f"upload:{file_id}", f"upload:../{file_id}/note.txt", "upload:*"):
                said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [given]})
                assert "that was sent with this token" in error(said, "invalid_argument"), given
            paths = [str(path) for path in (*on_disk(tmp_path), tmp_path / "sent")]
            for path in paths:
                said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [path]})
                assert said.is_error
        for address in (f"/files/{file_id}", f"/files/{file_id}/note.txt", "/files/.."):
            assert (await bob.ask("DELETE", address)).status_code == 404
        async with team.client("user") as client:
            said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [name]})
            assert "scope 'files'" in error(said, "not_allowed")
        assert "CANARY" not in str([one.body for one in simulator.requests])
        assert (await ann.ask("DELETE", f"/files/{file_id}/note.txt")).status_code == 204
        assert await ann.names() == [] and not on_disk(tmp_path)
        assert (await ann.ask("DELETE", f"/files/{file_id}")).status_code == 404


async def test_other_rules_never_lead_to_what_was_sent(simulator: Simulator, tmp_path: Path) -> None:
    read = {"over_http": True, "text_folders": [str(tmp_path)]}
    async with team_with_files(simulator, tmp_path, read=read) as (team, ann, _), team.client("bob") as client:
        await ann.name("note.txt", b"CANARY\n")
        (tmp_path / "other.txt").write_text("free", encoding="utf-8")
        (file,) = on_disk(tmp_path)
        for given in (str(file), str(tmp_path / "sent" / "**"), str(file.parent)):
            said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [given]})
            assert said.is_error, given
        given = str(tmp_path / "**")
        await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [given]})
        sent = str([one.body for one in simulator.requests])
        assert "free" in sent and "CANARY" not in sent


async def test_two_files_of_one_name_are_two_and_the_newer_is_meant(simulator: Simulator, tmp_path: Path) -> None:
    async with team_with_files(simulator, tmp_path) as (team, ann, _):
        first, second = [await ann.name("note.txt", content) for content in (b"one\n", b"two\n")]
        # Both at once, and whole.
        more = await asyncio.gather(*(ann.name("more.txt", b"%d\n" % number * 50_000) for number in range(8)))
        assert len({first, second, *more, *await ann.names()}) == 10
        os.utime(
            next(path for path in on_disk(tmp_path) if first.split(":")[1][:16] in path.name), (1e9, time.time() - 60)
        )
        async with team.client("ann") as client:
            for given, expected in ((first, b"one"), (second, b"two"), ("upload:note.txt", b"two")):
                await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [given]})
                assert expected in simulator.requests[-1].body


@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_that_stops_half_way_leaves_nothing(simulator: Simulator, tmp_path: Path, declared: bool) -> None:
    async with team_with_files(simulator, tmp_path, {"quota_bytes": 400_000}) as (team, ann, _):
        length = "Content-Length: 300000" if declared else "Transfer-Encoding: chunked"
        part = b"x" * 100_000 if declared else b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000)
        head = f"POST /files?name=a.txt HTTP/1.1\nHost: 127.0.0.1:{team.peer.port}\n{length}\n"
        head += f"Authorization: {team.headers('ann')['Authorization']}\n"
        for _ in range(3):
            _, writer = await team.peer.open(head, part)
            await until(lambda: on_disk(tmp_path), 60)
            assert await ann.names() == []
            writer.close()
            await until(lambda: not on_disk(tmp_path), 60)
        # Nor is its room taken.
        assert (await ann.send("whole.txt", b"y" * 400_000)).status_code == 201


async def test_who_is_revoked_while_sending_has_sent_nothing(simulator: Simulator, tmp_path: Path) -> None:
    async with team_with_files(simulator, tmp_path) as (team, _, _):
        head = f"POST /files?name=a.txt HTTP/1.1\nHost: 127.0.0.1:{team.peer.port}\nContent-Length: 300000\n"
        head += f"Authorization: {team.headers('ann')['Authorization']}\n"
        _, writer = await team.peer.open(head, b"x" * 100_000)
        await until(lambda: on_disk(tmp_path), 60)
        revoke_token(team.file, "ann")
        await until(lambda: not on_disk(tmp_path), 60)
        writer.close()


async def test_what_is_too_large_or_beyond_the_quota_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    uploads = {"max_bytes": 100_000, "quota_bytes": 250_000, "quota_files": 4}
    given = {"principals": {"bob": {"upload_bytes": 50}}}
    async with team_with_files(simulator, tmp_path, uploads, **given) as (_, ann, bob):

        async def chunks(size: int) -> AsyncIterator[bytes]:
            for _ in range(size // 1_000):
                yield b"z" * 1_000

        for content in (b"z" * 100_001, chunks(101_000)):
            assert (await ann.send("a.txt", content)).status_code == 413
        names = [await ann.name(f"{number}.txt", b"z" * 100_000) for number in range(2)]
        for content in (b"z" * 50_001, chunks(51_000)):
            assert (await ann.send("a.txt", content)).status_code == 507
        for number in range(2):
            await ann.name(f"small{number}", b"z")
        assert "over 4 files" in (await ann.send("a.txt", b"z")).text
        # What is deleted gives its room back.
        assert (await ann.ask("DELETE", f"/files/{names[0].split(':')[1]}")).status_code == 204
        await ann.name("b.txt", b"z" * 100_000)
        assert (await bob.send("a.txt", b"z" * 51)).status_code == 507
        await bob.name("a.txt", b"z" * 50)
        listed = (await bob.ask("GET", "/files")).json()
        assert (listed["bytes"], listed["quota_bytes"]) == (50, 50)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_quota_holds_for_what_is_sent_at_once(simulator: Simulator, tmp_path: Path, declared: bool) -> None:
    async with team_with_files(simulator, tmp_path, {"quota_bytes": 500_000, "quota_files": 100}) as (_, ann, bob):
        size = 200_000

        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"q" * (size // 20)
                await asyncio.sleep(0)

        sent = [ann.send("a.txt", b"q" * size if declared else slowly()) for _ in range(12)]
        answers = await asyncio.gather(*sent, bob.send("b.txt", b"q" * size))
        codes = [answer.status_code for answer in answers]
        assert codes.pop() == 201
        assert set(codes) <= {201, 507} and codes.count(201) <= 2
        assert sum(path.stat().st_size for path in on_disk(tmp_path)) == (codes.count(201) + 1) * size
        # Those that were refused have given back what they had taken.
        left = 500_000 - codes.count(201) * size
        assert (await ann.send("rest.txt", b"q" * left)).status_code == 201


async def test_expired_files_are_gone(simulator: Simulator, tmp_path: Path) -> None:
    uploads = {"keep_hours": 1}
    async with team_with_files(simulator, tmp_path, uploads) as (team, ann, _):
        name = await ann.name("note.txt", b"CANARY\n")
        (file,) = on_disk(tmp_path)
        old = (time.time() - 3_601, time.time() - 3_601)
        os.utime(file, old)
        assert await ann.names() == []
        async with team.client("ann") as client:
            said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [name]})
            assert "may have expired" in error(said, "invalid_argument")
        unfinished = file.with_name("a" * 16 + ".part")
        unfinished.write_bytes(b"of a process that was killed")
        os.utime(unfinished, old)
        coming = file.with_name("b" * 16 + ".part")
        coming.write_bytes(b"of another process, now")
    async with team_at(simulator.url, tmp_path / "next", uploads={**uploads, "folder": str(tmp_path / "sent")}):
        await until(lambda: on_disk(tmp_path) == [coming], 60)


async def test_a_file_goes_to_the_disk_as_it_comes(simulator: Simulator, tmp_path: Path) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(640):
            yield b"A line of text, again and again.\n" * 1_600

    async with team_with_files(simulator, tmp_path) as (_, ann, _):
        await ann.name("warm.txt", b"warm")
        tracemalloc.start()
        try:
            answer = await ann.send("large.txt", content())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert answer.status_code == 201 and answer.json()["bytes"] == 33_792_000
        assert peak < 8_000_000


FULL = """
import resource, sys
from ollama_mcp.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="Windows has no such limit")
    from ollama_mcp.server.auth.token_file import add_token

    secret = add_token(tmp_path / "tokens", "ann", ["use", "files"])
    options = ["--set", f"auth.tokens={tmp_path / 'tokens'}", "--set", f"uploads.folder={tmp_path / 'sent'}"]
    command = [sys.executable, "-c", FULL]
    with serving(tmp_path, *options, command=command) as (process, peer, _):
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{peer.port}", headers=headers, timeout=60) as client:
            for _ in range(2):
                answer = client.post("/files?name=a.txt", content=b"x" * 300_000)
                assert (answer.status_code, answer.text) == (507, "the file was not kept: the disk is full")
                assert not on_disk(tmp_path)
            assert client.post("/files?name=a.txt", content=b"x" * 100_000).status_code == 201
        assert any("a file cannot be received in" in line for line in process.stderr)


async def test_requests_that_are_none_of_these(simulator: Simulator, tmp_path: Path) -> None:
    async with team_with_files(simulator, tmp_path) as (team, ann, _):
        form = await ann.send("a.txt", b"--x", Content_Type="multipart/form-data; boundary=x")
        assert form.status_code == 415 and "content of the file itself" in form.text
        packed = await ann.send("a.txt", b"\x1f\x8b", Content_Encoding="gzip")
        assert packed.status_code == 415
        for method, address, status in (
            ("POST", "/files", 400),
            ("POST", "/files?name=a&name=b", 400),
            ("PUT", "/files", 405),
            ("GET", "/files/abc", 405),
            ("DELETE", "/files", 405),
            ("GET", "/filesystem", 404),
        ):
            assert (await ann.ask(method, address)).status_code == status, (method, address)
        async with httpx.AsyncClient(base_url=team.url.rsplit("/", 1)[0]) as client:
            for name, status in ((None, 401), ("user", 403), ("reader", 403)):
                headers = team.headers(name) if name else {}
                for method in ("GET", "POST", "DELETE"):
                    answer = await client.request(method, "/files?name=a", headers=headers)
                    assert answer.status_code == status
                    assert ('scope="files"' in answer.headers["www-authenticate"]) is (status == 403)
        assert not on_disk(tmp_path)


async def test_the_settings_can_turn_it_off_and_servers_without_tokens_have_none(
    simulator: Simulator, tmp_path: Path
) -> None:
    from tests.support import connected, served

    async with team_with_files(simulator, tmp_path, {"enabled": False}) as (team, ann, _):
        assert (await ann.send("a.txt", b"words")).status_code == 404
        async with team.client("ann") as client:
            said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "?", "files": ["upload:a.txt"]})
            assert said.is_error
    async with served(simulator.url) as url, httpx.AsyncClient() as client:
        for method in ("GET", "POST"):
            answer = await client.request(method, url.replace("/mcp", "/files?name=a"), content=b"words")
            assert answer.status_code == 403 and "for tokens only" in answer.text
    async with connected(simulator.url) as client:
        for given in ({"files": ["upload:a.txt"]}, {"images": ["upload:a.png"]}):
            said = await client.call_tool("ollama_chat", {"model": "gemma3:4b", "prompt": "?", **given})
            assert "scope 'files'" in error(said, "not_allowed")


async def test_jobs_and_other_tools_take_what_was_sent(simulator: Simulator, tmp_path: Path) -> None:
    async with team_with_files(simulator, tmp_path) as (team, ann, _), team.client("ann") as client:
        name = await ann.name("places.md", b"# Sea\n\nThe sea is blue.\n\n# Hill\n\nThe hill is green.\n")
        ranked = await client.call_tool("ollama_search", {"query": "Which colour has the sea?", "files": [name]})
        assert json.dumps(name)[1:-1] in json.dumps(data(ranked)) if ranked.structured_content else name in text(ranked)
