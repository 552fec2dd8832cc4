import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from ollama_mcp.api import OllamaClient
from ollama_mcp.cli import main
from ollama_mcp.simulator import Simulator
from tests.cli.support import ROOT, environment, run
from tests.program import program
from tests.support import text, texts

MODEL = "llama3.2:3b"


@pytest.mark.parametrize(
    "start", [["-m", "ollama_mcp"], [str(ROOT / "ollama_mcp_server.py")], ["-m", "ollama_mcp", "serve"]]
)
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_host_starts_the_server_and_works_with_it(
    simulator: Simulator, start: list[str], mode: str, tmp_path: Path
):
    server = StdioServerParameters(
        command=sys.executable, args=start, env=environment(OLLAMA_HOST=simulator.url), cwd=tmp_path
    )
    async with Client(server, mode=mode) as client:
        assert len((await client.list_tools()).tools) == 20
        assert text(await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Hi"}))


@pytest.mark.slow
async def test_two_hundred_calls_at_once_over_stdio_are_neither_lost_nor_mixed_up(simulator: Simulator):
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "ollama_mcp"], env=environment(OLLAMA_HOST=simulator.url)
    )
    simulator.machine.scheduler.num_parallel = 200

    async def ask(client: Client, number: int) -> None:
        mark = "mark" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")
        arguments = {"model": MODEL, "prompt": f"Say {mark}", "options": {"num_predict": 12}}
        assert mark in texts(await client.call_tool("ollama_chat", arguments))[0]

    async with Client(server, mode="legacy") as client:
        await asyncio.gather(*(ask(client, number) for number in range(200)))


async def test_demo_runs_on_the_simulator_and_leaves_nothing_behind(tmp_path: Path):
    # Wide, so that no path is broken, however long the temporary folder is.
    ran = await run("demo", "--simulator", HOME=str(tmp_path), COLUMNS="300")
    assert ran.code == 0, ran.out + ran.err
    assert "built-in simulator" in ran.out and "no model is used" in ran.out
    for tool in ("status", "list_models", "pull_model", "show_model", "chat", "decide", "embed", "unload_model"):
        assert f"ollama_{tool}(" in ran.out
    for tool in ("batch", "search", "compare", "job"):
        assert f"ollama_{tool}(" in ran.out
    assert "are scripted" in ran.out
    said = " ".join(ran.out.replace("│", " ").split())
    for right in (
        '{"name": "Ada", "age": 36}',
        'letters.txt:2: "I want my money back."',
        "text 1 | yes | 0.97",
        "text 2 | no | 0.98",
        "3 of 3 rows done",
        "A red disc on a blue field.",
        "letter-1.txt:1-2",
        "the lamp is lit",
        "Stopped after",
    ):
        assert right in said, right
    assert "NOT FOUND" not in said
    assert "letters.txt: lines 1-8" in said and "its log-probabilities" in ran.out
    assert "[model_not_found]" in ran.out
    assert "All steps succeeded." in ran.out


@pytest.mark.slow
async def test_demo_changes_nothing_of_a_real_ollama_without_a_terminal_to_ask_on(simulator: Simulator):
    ran = await run("demo", OLLAMA_HOST=simulator.url)
    assert ran.code == 0, ran.out + ran.err
    assert f"Ollama answers at {simulator.url}" in ran.out
    assert ran.out.count("Skipped: ") == 2
    assert not {"/api/pull", "/api/delete", "/api/create"} & {seen.path for seen in simulator.requests}


@pytest.mark.slow
async def test_demo_on_an_empty_ollama_says_so_and_goes_on_with_the_simulator():
    async with Simulator(models=()) as empty:
        ran = await run("demo", OLLAMA_HOST=empty.url)
    assert ran.code == 0, ran.out + ran.err
    assert "no model is installed" in ran.out and "built-in simulator" in ran.out


@pytest.mark.slow
async def test_demo_fails_when_a_step_does(simulator: Simulator):
    ran = await run("demo", "--exclude-tools", "ollama_chat", OLLAMA_HOST=simulator.url)
    assert ran.code == 1
    assert "steps failed" in ran.out


async def test_config_show_says_where_each_value_comes_from(tmp_path: Path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"limits": {"listed": 7}, "api_key": "sk-secret"}), encoding="utf-8")
    arguments = ("config", "show", "--config", str(config), "--set", "limits.tools=9", "--read-only")
    ran = await run(*arguments, OLLAMA_HOST="box:1", OLLAMA_API_KEY="cloud-secret")
    assert ran.code == 0, ran.err
    assert f"limits.listed = 7  # config file {config}" in ran.out
    assert "limits.tools = 9  # command line" in ran.out
    assert "read_only = true  # command line" in ran.out
    assert 'host = "box:1"  # environment OLLAMA_HOST' in ran.out
    assert "limits.messages = 2000  # shipped config.json" in ran.out
    assert "-secret" not in ran.out and "OLLAMA_API_KEY is set." in ran.out


def test_config_show_hides_the_password_of_an_address(capsys: pytest.CaptureFixture[str]):
    assert main(["config", "show", "--set", "urls.trusted_proxy=http://user:123456@proxy:3128"]) == 0
    assert 'urls.trusted_proxy = "http://(set)@proxy:3128"' in capsys.readouterr().out


def test_config_schema_describes_every_section(capsys: pytest.CaptureFixture[str]):
    assert main(["config", "schema"]) == 0
    assert {"limits", "timeouts", "policy"} <= set(json.loads(capsys.readouterr().out)["properties"])


def test_config_check_refuses_a_host_that_is_no_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OLLAMA_HOST", "bad:bad:bad")
    assert main(["config", "check"]) == 2
    said = capsys.readouterr()
    assert "host 'bad:bad:bad' is not an address" in said.err and "valid" not in said.out


@pytest.mark.parametrize(
    "option",
    [["--port", "8001"], ["--bind", "0.0.0.0"], ["--socket", "ollama.sock"], ["--stateless"], ["serve", "--port=0"]],
)
async def test_an_option_of_http_without_its_transport_is_refused_at_start(option: list[str]):
    ran = await run(*option)
    name = option[-1].partition("=")[0] if option[0] == "serve" else option[0]
    assert (ran.code, ran.out) == (2, "")
    assert f"{name} has no effect: the transport is stdio" in ran.err and "Add --transport http" in ran.err


def test_config_check_says_what_a_start_would_do(capsys: pytest.CaptureFixture[str]):
    assert main(["config", "check", "--toolsets", "system"]) == 0
    assert "2 tools: ollama_job, ollama_status" in capsys.readouterr().out


WRONG = [
    (["--set", "limits.listd=1"], "Did you mean limits.listed?"),
    (["--set", "limits.listed"], "--set takes NAME=VALUE"),
    (["--toolsets", "inferenc"], "Did you mean 'inference'?"),
    (["--tools", "ollama_caht"], "Did you mean 'ollama_chat'?"),
    (["--config", "/no/such/file"], "--config names"),
    (["--ollama", "ftp://x"], "scheme"),
    (["--set", "api_key=123456"], "setting api_key (from command line): input should be a valid string"),
    (["--set", "headers=Authorization: 123456"], "setting headers (from command line): input should be"),
    (["--set", "host=http://user:123456@box"], "host contains a user or a password"),
    (["--set", 'urls.trusted_proxy=["http://user:123456@box"]'], "setting urls.trusted_proxy (from command line): "),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
@pytest.mark.parametrize("command", [["config", "check"], ["tools"]])
def test_a_wrong_setting_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], command: list[str], arguments: list[str], words: str
):
    assert main([*command, *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1
    assert "123456" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("headers", {"X-Key": "123456\r\nHost: x"}, "setting headers: Header 'X-Key' can't be sent"),
        ("headers", {"X-Key": "123456\u20ac"}, "setting headers: Header 'X-Key' can't be sent"),
        ("headers", {"X Key": "123456"}, "setting headers: Header 'X Key' can't be sent"),
        ("api_key", "123456\n", "setting api_key: The host's API key"),
        ("ca_file", "/no/such.pem", "setting ca_file: CA file '/no/such.pem' can't be read: No such file"),
        ("ca_file", __file__, "it is not a PEM file"),
    ],
)
def test_config_check_finds_what_no_request_could_be_sent_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, setting: str, value: object, words: str
):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({setting: value}), encoding="utf-8")
    assert main(["config", "check", "--config", str(config)]) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1
    assert "123456" not in said.err and said.out == ""


async def test_a_wrong_setting_stops_the_start_of_the_server():
    ran = await run("--toolsets", "inferenc")
    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean 'inference'?" in ran.err and ran.err.count("\n") == 1


def test_tools_are_listed_with_their_cost_or_as_json(capsys: pytest.CaptureFixture[str]):
    assert main(["tools"]) == 0
    plain = capsys.readouterr().out
    assert "ollama_chat" in plain and "in all" not in plain
    assert main(["tools", "--tokens", "--toolsets", "inference"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("in all (bytes / 4 of name, description and input schema)")
    assert main(["tools", "--json", "--toolsets", "all"]) == 0
    assert {"ollama_chat", "ollama_embeddings"} <= {tool["name"] for tool in json.loads(capsys.readouterr().out)}


async def test_what_calls_from_the_shell_did_is_counted(simulator: Simulator, tmp_path: Path):
    data = {"OLLAMA_HOST": simulator.url, "OLLAMA_MCP_STORE__PATH": str(tmp_path / "store.sqlite3")}
    for _ in range(2):
        assert (await run("call", "ollama_chat", "prompt=Hi", **data)).code == 0
    assert "In all: 2 calls" in (await run("call", "ollama_status", **data)).out


async def test_one_tool_is_called_from_the_shell(simulator: Simulator):
    host = {"OLLAMA_HOST": simulator.url}
    named = await run("call", "ollama_chat", f"model={MODEL}", "prompt=Hi", 'options={"num_predict": 3}', **host)
    assert (named.code, named.err) == (0, "") and named.out
    as_json = await run("call", "ollama_show_model", json.dumps({"model": MODEL}), **host)
    assert "capabilities: completion, tools" in as_json.out
    bare = await run("call", "ollama_status", **host)
    assert bare.code == 0 and simulator.url in bare.out
    failed = await run("call", "ollama_chat", "model=nope", "prompt=Hi", **host)
    assert failed.code == 1 and failed.out == "" and failed.err.startswith("[model_not_found]")


@pytest.mark.parametrize("argument", ["prompt", "{broken"])
def test_a_call_with_arguments_that_are_none_says_what_is_taken(capsys: pytest.CaptureFixture[str], argument: str):
    assert main(["call", "ollama_chat", argument]) == 2
    assert capsys.readouterr().err.count("\n") == 1


async def test_a_simulated_ollama_starts_prints_its_address_and_ends_on_a_signal():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ollama_mcp", "simulate", "--port", "0", "--version", "0.17.7"),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
    async with OllamaClient(url) as client:
        assert await client.version() == "0.17.7"
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_the_simulator_names_the_command_that_was_used():
    wrong = await run("simulate", "--port", "99999")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("usage: ollama-mcp-server simulate ") and "Traceback" not in wrong.err
    unknown = await run("simulate", "--version", "9.9.9")
    assert unknown.code == 2 and unknown.err.startswith("ollama-mcp-server simulate: ")


async def test_version_and_help_say_what_there_is():
    assert (await run("--version")).out.startswith("ollama-mcp-server ")
    shown = await run("--help")
    assert "demo" in shown.out and "Examples:" in shown.out


async def test_a_folder_is_allowed_from_the_shell(tmp_path: Path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    ran = await run("allow", str(folder), HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert ran.code == 0, ran.err
    assert str(folder) in ran.out
    missing = await run("allow", str(tmp_path / "nope"), HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert missing.code == 2 and "not a folder" in missing.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_output_into_a_closed_pipe_is_no_error(unbuffered: str):
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        *program(),
        "config",
        "show",
        stdout=write,
        stderr=asyncio.subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered),
    )
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
