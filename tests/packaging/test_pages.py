"""What the pages for people say is true: their commands parse, their JSON loads, the files they name exist."""

from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from mcp.types import TextContent

from ollama_mcp.cli.options import build_parser
from ollama_mcp.settings import Settings, load_settings
from ollama_mcp.settings.load import iter_settings
from ollama_mcp.simulator import Simulator
from tests.packaging.conftest import ROOT, offered_tools
from tests.support import connected

PAGES = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "AGENTS.md",
    "docs/cascade.md",
    "docs/images.md",
    "docs/install.md",
    "docs/report.md",
    "docs/settings.md",
    "docs/transports.md",
    "docs/work.md",
]
README = ROOT / "README.md"
_FENCED = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
_COMMAND = re.compile(
    r"ollama-mcp-server ((?:warm|demo|tune|config|tools|call|allow|(?:un)?install|update)\b[^`#\n&|]*)"
)
_FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|json)|(?:[\w.-]+/)+)`")
_ELSEWHERE = {"~/.cursor/mcp.json", ".vscode/mcp.json", ".mcp.json", "allowed.json", "prompts/"}


def fenced(page: Path, language: str) -> list[str]:
    """The code blocks of a language on a page."""
    return [text for found, text in _FENCED.findall(page.read_text(encoding="utf-8")) if found == language]


def host_configurations() -> list[dict[str, Any]]:
    blocks = [json.loads(text) for text in fenced(README, "json")]
    return [server for block in blocks for server in next(iter(block.values())).values()]


def test_each_hosts_json_runs_the_server_of_the_checkout() -> None:
    configurations = host_configurations()
    assert len(configurations) == 2
    for server in configurations:
        assert server["command"] == "uv"
        assert server["args"] == ["run", "--no-dev", "--project", "PATH-TO-CHECKOUT", "ollama-mcp-server"]
        assert load_settings(environment=server["env"]).settings.host == "http://127.0.0.1:11434"


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_are_commands(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = [shlex.split(command) for command in _COMMAND.findall(text)]
    # A sentence may speak of a command without its arguments.
    for command in (words for words in commands if len(words) > 1 or words in (["demo"], ["warm"], ["tune"])):
        assert build_parser().parse_args(command).command == command[0]


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    named = set(_FILE.findall((ROOT / page).read_text(encoding="utf-8"))) - _ELSEWHERE
    # A module may be named without the folder that the page is speaking of.
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "ollama_mcp" / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    file = ROOT / page
    assert [link for link in _LINK.findall(file.read_text(encoding="utf-8")) if not (file.parent / link).exists()] == []


def test_every_page_for_people_is_linked_from_the_first_one() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages and pages <= set(_LINK.findall(README.read_text(encoding="utf-8")))


def test_the_settings_that_the_pages_name_exist() -> None:
    known = {path for path, _ in iter_settings()}
    sections = {path.split(".")[0] for path in known if "." in path}
    for page in PAGES:
        words = re.findall(r"`(\w+\.\w+)`", (ROOT / page).read_text(encoding="utf-8"))
        assert {word for word in words if word.split(".")[0] in sections and not word.endswith(".json")} <= known


async def test_a_tool_file_like_the_one_for_contributors_is_offered(tmp_path: Path) -> None:
    (example,) = fenced(ROOT / "CONTRIBUTING.md", "python")
    (tmp_path / "version.py").write_text(example, encoding="utf-8")
    variables = {"OLLAMA_MCP_TOOLS__FOLDERS": json.dumps([str(tmp_path)])}
    entry = str(ROOT / "ollama_mcp_server.py")
    assert "ollama_version" in await offered_tools(sys.executable, entry, folder=tmp_path, variables=variables)


async def test_the_prompt_on_the_first_page_is_one(simulator: Simulator, tmp_path: Path) -> None:
    (example,) = fenced(README, "markdown")
    (tmp_path / "second_opinion.md").write_text(textwrap.dedent(example), encoding="utf-8")
    async with connected(simulator.url, prompts={"folders": [str(tmp_path)]}) as client:
        prompt = await client.get_prompt("second_opinion")
    (message,) = prompt.messages
    assert isinstance(message.content, TextContent)
    assert "look for what is wrong" in message.content.text
    assert re.search(r'First call: `ollama_chat\(model="[\w.:-]+", prompt=', message.content.text)


def test_the_shipped_config_holds_every_setting_with_its_default() -> None:
    shipped = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
    assert Settings.model_validate({name: value for name, value in shipped.items() if name != "$schema"}) == Settings()
    assert set(shipped) == {"$schema", *Settings.model_fields}
