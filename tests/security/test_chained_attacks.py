"""Attacks of our own: allowed steps in a chain, and attempts on what keeps principals and networks apart."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from ollama_mcp.hosts import network_guard
from ollama_mcp.hosts.principal import SCOPES, Principal
from ollama_mcp.server import jobs
from ollama_mcp.settings.auth import PrincipalSettings
from ollama_mcp.simulator import Answer, Simulator
from tests.api.raw_server import Connection, RawRequest, by_path, response, serving, stream, version
from tests.jobs.support import job_of
from tests.observation.test_ledger import exported
from tests.security.team import EVERYTHING, team_at
from tests.support import connected, data, error, served, texts, until
from tests.tasks.support import COMPARE, METHODS
from tests.tasks.test_wire import about, declared
from tests.transports.wire import HttpPeer, call

MODEL, OTHER, EMBEDDER = "llama3.2:3b", "qwen3:4b", "nomic-embed-text"
BATCH: dict[str, Any] = {"model": MODEL, "input": ["a", "b", "c"], "prompt": "Say {text}"}


def denying(**more: Any) -> dict[str, Any]:
    """Settings by which `user` may not use a model."""
    return {"principals": {"user": {"denied_models": [MODEL, EMBEDDER]}}, **more}


async def everything_shown(client: Client) -> dict[str, str]:
    """What a client is shown without asking for a model."""
    shown: dict[str, str] = {}
    for tool in ("ollama_list_models", "ollama_list_running", "ollama_status", "ollama_job"):
        shown[tool] = (await client.call_tool(tool, {})).model_dump_json()
    # What is proposed in the place of what does not exist.
    for tool in ("ollama_chat", "ollama_show_model", "ollama_generate"):
        shown[f"{tool} of another"] = (
            await client.call_tool(
                tool, {"model": "llama3.2:4b", "prompt": "Hi"} if "show" not in tool else {"model": "llama3.2:4b"}
            )
        ).model_dump_json()
    shown["chosen"] = (await client.call_tool("ollama_chat", {"prompt": "Hi"})).model_dump_json()
    shown["rank"] = (await client.call_tool("ollama_rank", {"query": "a", "texts": ["a", "b"]})).model_dump_json()
    for resource in (await client.list_resources()).resources:
        # Guides and skills are the same for everybody.
        if str(resource.uri).count("/") == 2:
            shown[str(resource.uri)] = (await client.read_resource(resource.uri)).model_dump_json()
    for prompt in (await client.list_prompts()).prompts[:2]:
        given = {one.name: "x" for one in prompt.arguments or [] if one.required}
        shown[prompt.name] = (await client.get_prompt(prompt.name, given)).model_dump_json()
    return shown


async def test_what_others_did_with_a_denied_model_shows_nowhere(simulator: Simulator, tmp_path: Path) -> None:
    """B01: its name is in no list, sum, proposal, prompt or resource of who may not use it."""
    async with team_at(simulator.url, tmp_path, **denying()) as team:
        async with team.client("other") as client:
            await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
            await client.call_tool("ollama_embed", {"model": EMBEDDER, "input": ["a", "b"]})
            shown = await everything_shown(client)
            assert MODEL in shown["ollama://usage"] and MODEL in shown["ollama://running"]
        async with team.client("user") as client:
            for where, said in (await everything_shown(client)).items():
                assert MODEL not in said and EMBEDDER not in said, where


SLY = '''
"""A tool of a user."""

from ollama_mcp import READS, Answer, Call, tool
from ollama_mcp.api import CreateRequest


@tool(title="Sly", toolset="mine", hints=READS)
async def sly(call: Call, modelfile: str) -> Answer:
    """Create a model."""
    async with call.client.create(CreateRequest(model="mine", modelfile=modelfile)) as events:
        async for _ in events:
            pass
    return Answer(text="done", model="none")
'''


@pytest.mark.parametrize(
    "line", ["FROM {}", "from\t{}", 'FROM "{}"', 'FROM """{}"""', "FROM library/{}", "# FROM x\n  FROM   {}"]
)
async def test_a_modelfile_for_an_old_server_names_a_denied_model(tmp_path: Path, line: str) -> None:
    """B02: servers before v0.5.5 read the Modelfile themselves; its base is judged all the same, whoever sends it."""
    (tmp_path / "sly.py").write_text(SLY, encoding="utf-8")
    given: dict[str, Any] = {"principals": {"boss": {"denied_models": [MODEL]}}, "tools": {"folders": [str(tmp_path)]}}
    async with (
        Simulator(version="0.5.1") as old,
        team_at(old.url, tmp_path / "team", more={"boss": EVERYTHING}, **given) as team,
        team.client("boss") as client,
    ):
        modelfile = f"{line.format(MODEL)}\nSYSTEM x\n"
        # To the tool that is shipped the model does not exist.
        assert (await client.call_tool("ollama_create_model", {"model": "mine", "modelfile": modelfile})).is_error
        assert "may not use the model" in error(await client.call_tool("sly", {"modelfile": modelfile}), "not_allowed")
        assert not [one for one in old.requests if one.path == "/api/create"]


@pytest.mark.parametrize(
    "line", ["FROM qwen3:8b", "from\tqwen3:8b", 'FROM "qwen3:8b"', 'FROM """qwen3:8b"""', "\ufeffFROM qwen3:8b"]
)
async def test_a_users_tool_has_a_base_downloaded_by_a_modelfile(tmp_path: Path, line: str) -> None:
    """B03: `network` off holds however the Modelfile writes it; one that cannot be read is not sent."""
    (tmp_path / "sly.py").write_text(SLY, encoding="utf-8")
    async with (
        Simulator(version="0.5.1") as old,
        connected(old.url, network="off", tools={"folders": [str(tmp_path)]}) as client,
    ):
        assert (await client.call_tool("sly", {"modelfile": f"{line}\nSYSTEM x\n"})).is_error
        assert not [one for one in old.requests if one.path == "/api/create"]


CLOUD_SPELLINGS = [
    "https://ollama.com.",
    "https://OLLAMA.com",
    "https://www.ollama.com/",
    "http://ollama.com:80/x",
    "ollama.com:443",
]


@pytest.mark.parametrize("address", CLOUD_SPELLINGS)
async def test_ollama_com_under_another_spelling(simulator: Simulator, tmp_path: Path, address: str) -> None:
    """B04: `network` off refuses it, files stay, and `auto` does not choose it."""
    async with connected(address, network="off") as client:
        said = error(await client.call_tool("ollama_list_models", {}), "not_allowed")
        assert "would go to ollama.com" in said
    (tmp_path / "note.txt").write_text("CANARY", encoding="utf-8")
    async with connected(address, read={"text_folders": [str(tmp_path)]}) as client:
        chat = {"model": MODEL, "prompt": "Hi", "files": [str(tmp_path / "note.txt")]}
        assert "policy.cloud_files" in error(await client.call_tool("ollama_chat", chat), "not_allowed")
    hosts = {"far": {"url": address}, "near": {"url": simulator.url}}
    async with connected("", hosts=hosts) as client:
        for _ in range(3):
            assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
    assert sum(one.path == "/api/chat" for one in simulator.requests) == 3


async def test_a_job_goes_on_with_the_rights_of_who_began_it(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B05: after a restart, whoever comes first lends a job neither scopes nor folders, nor pays for it."""
    monkeypatch.setattr(jobs, "RESUME_DELAY_SECONDS", 0.0)
    given: dict[str, Any] = {"store": {"path": str(tmp_path / "store")}, "work": {"parallel": 1}}
    simulator.script(MODEL, Answer(text="one"), Answer(text="never", hold="gate"))
    async with team_at(simulator.url, tmp_path / "one", **given) as team, team.client("user") as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, "background": True}))
        await until(lambda: sum(one.path == "/api/chat" for one in simulator.requests) == 2)
    simulator.scripts.clear()
    before = len(simulator.requests)
    async with team_at(simulator.url, tmp_path / "two", **given) as team:
        for name in ("reader", "admin"):
            async with team.client(name) as client:
                for _ in range(5):
                    await client.list_tools()
                    assert job not in str(data(await client.call_tool("ollama_job", {})))
        assert not [one for one in simulator.requests[before:] if one.path == "/api/chat"]
        async with team.client("user") as client:
            await client.list_tools()
            result = await client.call_tool("ollama_job", {"action": "result", "id": job})
            assert not result.is_error and "3 of 3" in str(data(result)) + texts(result)[0], result


async def test_a_job_of_a_token_that_may_less_by_now_goes_on_within_its_limits(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B06: what was granted when it began does not come back with it."""
    monkeypatch.setattr(jobs, "RESUME_DELAY_SECONDS", 0.0)
    given: dict[str, Any] = {"store": {"path": str(tmp_path / "store")}, "work": {"parallel": 1}}
    simulator.script(MODEL, Answer(text="one"), Answer(text="never", hold="gate"))
    began = team_at(simulator.url, tmp_path / "one", more={"ann": ["use"]}, **given)
    async with began as team, team.client("ann") as client:
        job = job_of(await client.call_tool("ollama_batch", {**BATCH, "background": True}))
        await until(lambda: sum(one.path == "/api/chat" for one in simulator.requests) == 2)
    simulator.scripts.clear()
    before = len(simulator.requests)
    second = team_at(simulator.url, tmp_path / "two", more={"ann": ["read"]}, **given)
    async with second as team, team.client("ann") as client:
        await client.list_tools()
        result = await client.call_tool("ollama_job", {"action": "result", "id": job})
        assert "needs the scope 'use'" in texts(result)[0], result
        assert not [one for one in simulator.requests[before:] if one.path == "/api/chat"]


async def test_the_task_of_another_token(simulator: Simulator, tmp_path: Path) -> None:
    """B07: it is unknown to whoever asks for it, answers it, cancels it or listens to it."""
    simulator.script(MODEL, Answer(text="never", hold="gate"))
    async with team_at(simulator.url, tmp_path, jobs={"grace_seconds": 0.0}) as team:

        async def post(name: str, message: Any) -> Any:
            named = {"Mcp_Name": message["params"]["taskId"]} if "taskId" in message["params"] else {}
            answer = await team.peer.post(message, "modern", **named, **team.headers(name))
            return answer.messages[-1]

        begun = await post("user", declared(call(1, "ollama_compare", era="modern", **COMPARE)))
        task = begun["result"]["taskId"]
        for method, more in METHODS:
            for name in ("other", "admin", "reader"):
                said = await post(name, about(method, task, **more))
                assert said["error"]["code"] == -32602, (method, name, said)
        assert (await post("user", about("tasks/get", task)))["result"]["status"] == "working"
        assert not simulator.disconnects
        await post("user", about("tasks/cancel", task))
        await until(lambda: simulator.disconnects)


async def test_the_code_of_another_token(simulator: Simulator, tmp_path: Path) -> None:
    """B08: a code that one token was given confirms nothing for another, however clients call themselves."""
    file = tmp_path / "secret"
    file.write_text("a" * 64 + "\n", encoding="utf-8")
    given: dict[str, Any] = {"state": {"secret": f"file:{file}"}}
    more = {"second": EVERYTHING}
    async with (
        team_at(simulator.url, tmp_path / "team", more=more, stateless=True, **given) as team,
        team.client("admin") as first,
        team.client("second") as second,
    ):
        asked = error(await first.call_tool("ollama_delete_model", {"model": MODEL}), "needs_confirmation")
        code = asked.partition("confirm='")[2].partition("'")[0]
        confirmed = {"model": MODEL, "confirm": code}
        error(await second.call_tool("ollama_delete_model", confirmed), "needs_confirmation")
        error(await first.call_tool("ollama_delete_model", {**confirmed, "model": OTHER}), "needs_confirmation")
        assert not [one for one in simulator.requests if one.path == "/api/delete"]
        assert not (await first.call_tool("ollama_delete_model", confirmed)).is_error
        assert (await first.call_tool("ollama_delete_model", confirmed)).is_error


async def test_links_between_the_folders_of_two(simulator: Simulator, tmp_path: Path) -> None:
    """B09: neither a link nor a result leads from the folders of one into those of another."""
    folders = {name: tmp_path / name for name in ("ann", "bob")}
    for name, folder in folders.items():
        (folder / "out").mkdir(parents=True)
        (folder / "note.txt").write_text(f"CANARY of {name}", encoding="utf-8")
    limits = {
        name: {"folders": [str(folder)], "output_folder": str(folder / "out")} for name, folder in folders.items()
    }
    more: dict[str, Any] = {name: ["use", "files"] for name in folders}
    os.symlink(folders["bob"] / "note.txt", folders["ann"] / "link.txt")
    os.symlink(folders["bob"], folders["ann"] / "folder")
    os.symlink(folders["bob"] / "out", folders["ann"] / "out" / "theirs")
    async with (
        team_at(simulator.url, tmp_path / "team", more=more, principals=limits) as team,
        team.client("ann") as client,
    ):
        for name in ("link.txt", "folder/note.txt", "../bob/note.txt", "*/note.txt", "**/*.txt"):
            chat = {"model": OTHER, "prompt": "Hi", "files": [str(folders["ann"] / name)]}
            await client.call_tool("ollama_chat", chat)
        for output in (folders["ann"] / "out/theirs/a.jsonl", folders["bob"] / "out/a.jsonl"):
            result = await client.call_tool("ollama_batch", {**BATCH, "model": OTHER, "output": str(output)})
            error(result, "not_allowed")
    assert "CANARY of bob" not in str([one.body for one in simulator.requests])
    assert not list((folders["bob"] / "out").iterdir())


async def test_answers_and_vectors_that_others_paid_for(simulator: Simulator, tmp_path: Path) -> None:
    """B10: the same call of who may not use the model gets no answer, though each is kept already."""
    given = denying(store={"path": str(tmp_path / "store")})
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ollama_embed", {"model": EMBEDDER, "input": ["a", "b"]}),
        ("ollama_rank", {"model": EMBEDDER, "query": "a", "texts": ["a", "b"]}),
        ("ollama_batch", BATCH),
        ("ollama_compare", {"models": [MODEL, OTHER], "prompt": "Hi"}),
        ("ollama_show_model", {"model": MODEL}),
    ]
    async with team_at(simulator.url, tmp_path / "team", **given) as team:
        async with team.client("other") as client:
            for tool, arguments in calls:
                assert not (await client.call_tool(tool, arguments)).is_error, tool
        simulator.log.clear()
        async with team.client("user") as client:
            for tool, arguments in calls:
                said = await client.call_tool(tool, arguments)
                if tool == "ollama_compare":
                    assert MODEL not in str([one.json.get("model") for one in simulator.requests])
                else:
                    assert said.is_error and "may not use the model" in texts(said)[0], (tool, said)
            with pytest.raises(MCPError):
                await client.read_resource(f"ollama://models/{MODEL}")


async def test_calls_beyond_the_limit_by_tasks(simulator: Simulator, tmp_path: Path) -> None:
    """B11: a task counts among the calls at once, whichever era and session began it."""
    simulator.script(MODEL, *[Answer(text="never", hold="gate")] * 4)
    given: dict[str, Any] = {"principals": {"user": {"calls": 2}}, "jobs": {"grace_seconds": 0.0}}
    async with team_at(simulator.url, tmp_path, **given) as team:

        async def post(message: Any, **headers: str) -> dict[str, Any]:
            answer = await team.peer.post(message, "modern", **headers, **team.headers("user"))
            return answer.messages[-1]["result"]

        request = declared(call(1, "ollama_compare", era="modern", **COMPARE))
        begun = [await post(request) for _ in range(4)]
        refused = [one["content"][0]["text"] for one in begun if "taskId" not in one]
        for task in [one["taskId"] for one in begun if "taskId" in one][2:]:
            async with asyncio.timeout(60):
                while (ended := await post(about("tasks/get", task), Mcp_Name=task))["status"] == "working":
                    pass
            refused.append(ended["result"]["content"][0]["text"])
        assert len(refused) == 2
        assert all("[busy] 'user' has 2 calls running, its limit." in one for one in refused)
        async with team.client("user") as client:
            error(await client.call_tool("ollama_chat", {"model": OTHER, "prompt": "Hi"}), "busy")


class Vouched:
    """An issuer that vouches for whatever subject it likes."""

    issuer = audience = ""

    async def authenticate(self, token: str) -> Principal:
        return Principal(bytes.fromhex(token).decode(), frozenset(SCOPES), PrincipalSettings())

    async def still_counts(self, principal: Principal) -> bool:
        return True


async def test_subjects_that_would_break_a_line_of_the_ledger(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """B12: each row is one line of JSON with the name as it is, and no line of the log is forged."""
    path = tmp_path / "store.sqlite3"
    names = ['a"}\n{"who": "admin"}', "a\r\nERROR forged", "\u2028\u202e", "token user", "everybody", "session 0", "*"]
    async with served(simulator.url, auth=Vouched(), store={"path": str(path)}, ledger={"enabled": True}) as url:
        peer = HttpPeer(int(url.split(":")[2].split("/")[0]))
        for name in names:
            header = {"Authorization": f"Bearer {name.encode().hex()}"}
            chat = call(1, "ollama_chat", era="modern", model=MODEL, prompt="Hi")
            assert (await peer.post(chat, "modern", **header)).status == 200
    rows = [row for row in exported(path) if row["tool"]]
    assert sorted(row["who"] for row in rows) == sorted(names)
    assert not [line for line in caplog.text.splitlines() if line.startswith(("ERROR forged", '{"who'))]


async def test_jobs_of_subjects_that_are_named_like_another_owner(simulator: Simulator) -> None:
    """B13: no subject is an owner of jobs that is not a token."""
    simulator.script(MODEL, *[Answer(text="never", hold="gate")] * 3)
    async with served(simulator.url, auth=Vouched()) as url:
        peer = HttpPeer(int(url.split(":")[2].split("/")[0]))

        async def ask(name: str, tool: str, **arguments: Any) -> Any:
            header = {"Authorization": f"Bearer {name.encode().hex()}"}
            answer = await peer.post(call(1, tool, era="modern", **arguments), "modern", **header)
            return answer.messages[-1]["result"]

        begun = await ask("ann", "ollama_generate", model=MODEL, prompt="Hi", background=True)
        job = begun["_meta"]["ollama-mcp-server/job"]["id"]
        for name in ("Ann", "ann ", "token ann", "everybody", "", "session", "*", "local"):
            said = await ask(name or "nobody", "ollama_job", action="cancel", id=job)
            assert said["isError"] and "There is no job" in json.dumps(said), name
        assert not simulator.disconnects


REDIRECTS = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_host_that_sends_every_request_elsewhere(status: int) -> None:
    """B14: with the key and the body of a request, nothing goes where a host points."""
    heard: list[bytes] = []

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            await reader.readexactly(length)
            place = b"Location: http://127.0.0.1:%d/\r\n" % there.sockets[0].getsockname()[1]
            writer.write(b"HTTP/1.1 %d Elsewhere\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, place))
            writer.close()
            return

    async with (
        await asyncio.start_server(sink, "127.0.0.1", 0) as there,
        await asyncio.start_server(host, "127.0.0.1", 0) as server,
    ):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        given: dict[str, Any] = {"api_key": "CANARY", "headers": {"X-Key": "CANARY"}, "web": True}
        async with connected(url, cloud_url=url, **given, policy={"pull": "allow", "push": "allow"}) as client:
            for tool, arguments in (
                ("ollama_chat", {"model": MODEL, "prompt": "Hi"}),
                ("ollama_list_models", {}),
                ("ollama_pull_model", {"model": MODEL}),
                ("ollama_push_model", {"model": f"me/{MODEL}"}),
                ("ollama_embed", {"model": EMBEDDER, "input": ["a"]}),
                ("ollama_web_search", {"query": "a"}),
                ("ollama_copy_model", {"source": MODEL, "destination": "mine"}),
            ):
                result = await client.call_tool(tool, arguments)
                assert result.is_error and "CANARY" not in result.model_dump_json(), tool
    assert heard == []


async def test_a_model_that_moves_to_the_cloud_once_it_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """B15: under `network` off the name that was local a moment ago gets nothing more."""
    card: dict[str, Any] = {"capabilities": ["completion"], "details": {"family": "llama"}, "model_info": {}}

    async def show(request: RawRequest, connection: Connection) -> None:
        await response(json.dumps(card))(request, connection)

    none = response('{"models": []}')
    chunk = {"model": MODEL, "created_at": "2026-11-21T02:39:24.32Z", "message": {"role": "assistant", "content": "Hi"}}
    chat = stream({**chunk, "done": True, "done_reason": "stop"})
    host = by_path(show=show, tags=none, ps=none, version=version("0.33.0"), chat=chat)
    async with serving(host) as raw, connected(raw.url, network="off") as client:
        assert not (await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})).is_error
        card["remote_host"] = "https://ollama.com:443"
        # A card counts for a second.
        monkeypatch.setattr(network_guard, "_CARD_SECONDS", 0.0)
        sent = len(raw.requests)
        said = error(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "CANARY"}), "not_allowed")
        assert "network" in said
        assert "CANARY" not in str([one.body for one in raw.requests])
        assert not [one for one in raw.requests[sent:] if one.path == "/api/chat"]
