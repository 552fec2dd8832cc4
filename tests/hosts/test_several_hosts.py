"""Several hosts through a real client: the argument `host`, the choice, lists, status, what needs a name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp.types import ResourceTemplateReference, TextResourceContents

from ollama_mcp.cli.tools import tool_list_tokens
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.hosts import open_pool
from ollama_mcp.settings import Settings
from ollama_mcp.simulator import Answer, Simulator
from tests.hosts.several import MODEL, several
from tests.support import connected, data, error, text, texts, until


async def test_each_tool_that_calls_a_host_takes_host_where_there_are_several():
    async with several(("a", "b"), tools={"toolsets": ["all"]}) as bench:
        tools = {tool.name: tool.input_schema for tool in (await bench.client.list_tools()).tools}
    without = {name for name, schema in tools.items() if "host" not in schema["properties"]}
    assert without == {"ollama_status", "ollama_job", "ollama_web_search", "ollama_web_fetch"}
    assert tools["ollama_chat"]["properties"]["host"]["enum"] == ["auto", "a", "b"]
    assert "host" not in tools["ollama_chat"]["required"]
    must = {name for name, schema in tools.items() if "host" in schema["required"]}
    assert must == {
        *("ollama_pull_model", "ollama_create_model", "ollama_copy_model", "ollama_delete_model"),
        *("ollama_push_model", "ollama_push_blob", "ollama_check_blob"),
    }
    assert not any("enum" in tools[name]["properties"]["host"] for name in must)


async def test_a_call_that_must_name_its_host_is_told_the_names():
    async with several() as bench:
        said = error(await bench.ask("ollama_delete_model", model=MODEL), "invalid_argument")
        assert "host is required" in said and "One of a, b." in said
        said = error(await bench.ask("ollama_delete_model", model=MODEL, host="auto"), "invalid_argument")
        assert "One of a, b." in said


async def test_many_hosts_cost_the_list_of_tools_few_tokens():
    hosts = {f"machine-{number}": {"url": f"127.0.0.1:{number}"} for number in range(1, 21)}

    async def cost(**settings: Any) -> int:
        async with connected("", **settings) as client:
            return sum(map(tool_list_tokens, (await client.list_tools()).tools))

    assert await cost(hosts=hosts) - await cost() <= 200


@pytest.mark.parametrize("named", [False, True])
async def test_one_host_is_a_pool_of_one_without_the_argument(simulator: Simulator, named: bool):
    hosts = {"gpu": {"url": simulator.url}} if named else {}
    async with connected(simulator.url if not named else "127.0.0.1:9", hosts=hosts) as client:
        tools = (await client.list_tools()).tools
        assert not any("host" in tool.input_schema["properties"] for tool in tools)
        await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"})
        (host,) = data(await client.call_tool("ollama_status", {}))["hosts"]
    assert (host["name"], host["url"]) == ("gpu" if named else "local", simulator.url)
    assert not {"in_flight", "tags", "expected_wait_seconds"} & set(host)


async def test_a_call_goes_to_the_host_that_it_names():
    async with several() as bench:
        for name in ("b", "a", "b"):
            assert not (await bench.ask(host=name)).is_error
        assert bench.served() == {"a": 1, "b": 2}
        assert "host is" in error(await bench.ask(host="c"), "invalid_argument")


async def test_auto_chooses_among_the_hosts_that_have_the_model():
    async with several(models={"a": ["embed"], "b": [MODEL]}) as bench:
        assert not (await bench.ask()).is_error
        assert not (await bench.ask(host="auto")).is_error
        assert bench.served() == {"a": 0, "b": 2}
        said = error(await bench.ask(model="absent"), "model_not_found")
        assert "No host has the model 'absent' (a, b)" in said


@pytest.mark.parametrize("limits", [{"largest_gb": 0.001}, {"models": ["gemma*", "nomic*"]}])
async def test_a_host_runs_only_what_its_limits_let_it(limits: dict[str, object]):
    async with several(hosts={"a": {"limits": limits}}) as bench:
        for _ in range(4):
            assert not (await bench.ask()).is_error
        assert bench.served() == {"a": 0, "b": 4}


async def test_where_no_host_may_run_a_model_the_setting_is_named():
    limited = {"limits": {"models": ["gemma*"]}}
    async with several(hosts={"a": limited, "b": limited}) as bench:
        assert "`hosts`" in error(await bench.ask(), "not_allowed")


async def test_auto_prefers_the_free_host_to_the_one_that_has_the_model_loaded_and_a_queue():
    async with several() as bench:
        a, b = bench.hosts["a"], bench.hosts["b"]
        # A request takes half a second there, to load the model elsewhere some two: ten of them are a queue.
        b.script(MODEL, Answer(["one ", "two"], delay=0.25), *(Answer("slow", hold="go") for _ in range(10)))
        assert not (await bench.ask(host="b")).is_error
        slow = [asyncio.create_task(bench.ask(host="b", prompt=f"slow {number}")) for number in range(10)]
        await until(lambda: len(b.in_flight) == 10)
        a.script(MODEL, Answer("from a"))
        assert text(await bench.ask()) == "from a"
        for _ in slow:
            b.release("go")
        await asyncio.gather(*slow)


async def test_without_a_queue_auto_uses_the_host_that_has_the_model_loaded():
    async with several() as bench:
        await bench.ask(host="b")
        for _ in range(6):
            await bench.ask()
        assert bench.served()["a"] == 0


async def test_status_shows_all_hosts_and_what_this_server_does_there():
    async with several(hosts={"a": {"tags": ["gpu"]}}) as bench:
        await bench.hosts["b"].pause()
        await bench.ask()
        result = await bench.ask("ollama_status")
        a, b = data(result)["hosts"]
        assert (a["name"], a["reachable"], a["in_flight"], a["waiting"], a["tags"]) == ("a", True, 0, 0, ["gpu"])
        assert a["ollama_version"] and a["loaded"] == [MODEL] and a["expected_wait_seconds"] == 0
        assert not b["reachable"] and "refused" in b["problem"]
        assert "in flight 0" in texts(result)[0] and "tags: gpu" in texts(result)[0]


async def test_lists_say_which_host_has_what():
    async with several(models={"a": [MODEL, "embed"], "b": [MODEL]}) as bench:
        models = {row["name"]: row["hosts"] for row in data(await bench.ask("ollama_list_models"))["models"]}
        assert models[MODEL] == ["a", "b"]
        assert [hosts for name, hosts in models.items() if name != MODEL] == [["a"]]
        only_b = data(await bench.ask("ollama_list_models", host="b"))["models"]
        assert [(row["name"], row.get("hosts")) for row in only_b] == [(MODEL, None)]
        await bench.ask("ollama_load_model", model=MODEL, host="b")
        assert data(await bench.ask("ollama_list_running"))["models"][0]["host"] == "b"
        await bench.ask("ollama_unload_model", model=MODEL)
        assert data(await bench.ask("ollama_list_running"))["models"] == []


async def test_what_changes_a_host_names_it():
    async with several(policy={"delete": "allow"}) as bench:
        said = error(await bench.ask("ollama_delete_model", model=MODEL), "invalid_argument")
        assert "host is required. One of a, b." in said
        assert bench.served("/api/delete") == {"a": 0, "b": 0}
        assert not (await bench.ask("ollama_delete_model", model=MODEL, host="b")).is_error
        assert bench.served("/api/delete") == {"a": 0, "b": 1}
        # And what was changed is known at once.
        (row,) = [row for row in data(await bench.ask("ollama_list_models"))["models"] if row["name"] == MODEL]
        assert row["hosts"] == ["a"]


async def test_a_yes_for_one_host_is_none_for_another():
    async with several() as bench:
        error(await bench.ask("ollama_delete_model", model=MODEL, host="a"), "needs_confirmation")
        error(await bench.ask("ollama_delete_model", model=MODEL, host="b", confirm=True), "needs_confirmation")
        assert bench.served("/api/delete") == {"a": 0, "b": 0}
        assert not (await bench.ask("ollama_delete_model", model=MODEL, host="a", confirm=True)).is_error


async def test_a_name_that_stands_for_two_models_is_said_and_only_one_is_used():
    async with several(("a", "b", "c"), policy={"overwrite": "allow"}) as bench:
        others = [row["name"] for row in data(await bench.ask("ollama_list_models", capability="completion"))["models"]]
        other = next(name for name in others if name != MODEL)
        for host, source in (("a", other), ("b", MODEL), ("c", MODEL)):
            copied = await bench.ask("ollama_copy_model", source=source, destination="mine", host=host)
            assert not copied.is_error
        answers = [await bench.ask(model="mine") for _ in range(4)]
        assert bench.served()["a"] == 0
        assert sum("on a is another model" in "\n".join(texts(answer)) for answer in answers) == 1
        assert "on a is another model" in data(await bench.ask("ollama_list_models"))["note"]


async def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GPU_KEY", "secret-of-b")
    async with several(hosts={"b": {"key_env": "GPU_KEY", "headers": {"X-Team": "blue"}}}) as bench:
        await bench.ask(host="a")
        await bench.ask(host="b")
        sent = {name: one.requests[-1].headers for name, one in bench.hosts.items()}
        assert sent["b"]["authorization"] == "Bearer secret-of-b" and sent["b"]["x-team"] == "blue"
        assert "authorization" not in sent["a"]
    monkeypatch.delenv("GPU_KEY")
    hosts = {"a": {"url": "h1"}, "b": {"url": "h2", "key_env": "GPU_KEY"}}
    with pytest.raises(InvalidArgument, match=r"hosts\.b\.key_env"):
        open_pool(Settings.model_validate({"hosts": hosts}))


async def test_the_resource_of_the_hosts_names_them_all_and_no_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GPU_KEY", "secret-of-b")
    async with several(hosts={"b": {"key_env": "GPU_KEY"}}) as bench:
        contents = (await bench.client.read_resource("ollama://hosts")).contents[0]
        assert isinstance(contents, TextResourceContents)
        assert json.loads(contents.text)["hosts"] == [
            {"name": "a", "url": bench.hosts["a"].url, "key": False},
            {"name": "b", "url": bench.hosts["b"].url, "key": True},
        ]


async def test_prompts_and_completions_name_the_models_of_all_hosts():
    async with several(models={"a": [MODEL], "b": ["nomic-embed-text"]}) as bench:
        reference = ResourceTemplateReference(uri="ollama://models/{+name}")
        found = await bench.client.complete(reference, {"name": "name", "value": ""})
        assert {MODEL, "nomic-embed-text:latest"} <= {*found.completion.values, "nomic-embed-text:latest"}
        assert any(value.startswith("nomic") for value in found.completion.values)


async def test_embeddings_and_searches_work_on_any_host():
    async with several(models={"a": [MODEL], "b": ["nomic-embed-text"]}) as bench:
        embedded = await bench.ask("ollama_embed", model="nomic-embed-text", input=["a", "b"])
        assert not embedded.is_error
        ranked = await bench.ask("ollama_search", query="cats", texts=["cats purr", "stocks fall"])
        assert not ranked.is_error, texts(ranked)
        assert bench.served("/api/embed")["a"] == 0 < bench.served("/api/embed")["b"]


async def test_a_model_is_chosen_among_those_of_all_hosts():
    async with several(models={"a": ["nomic-embed-text"], "b": [MODEL]}) as bench:
        assert not (await bench.client.call_tool("ollama_chat", {"prompt": "Hi"})).is_error
        assert bench.served() == {"a": 0, "b": 1}


async def test_auto_never_uses_ollama_com():
    hosts = {"cloud": {"url": "ollama.com"}, "a": {"url": "10.0.0.1"}, "b": {"url": "10.0.0.2"}}
    pool = open_pool(Settings.model_validate({"hosts": hosts}))
    assert pool.client().base_url == "http://10.0.0.1:11434, http://10.0.0.2:11434"
    assert pool.named("cloud").client().base_url == "https://ollama.com:443"
