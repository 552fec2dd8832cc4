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

from bundles.manifests import registry_name
from docs.making.site_index import pages_of_site, with_address
from ollama_mcp.cli.options import build_parser
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.registry import load_tools
from ollama_mcp.settings import Settings, load_settings
from ollama_mcp.settings.load import iter_settings
from ollama_mcp.simulator import Simulator
from tests.guidance.helpers import calls_in
from tests.packaging.conftest import ROOT, offered_tools
from tests.support import connected

DOCS = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "AGENTS.md", *DOCS]
README = ROOT / "README.md"
_FENCED = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
_COMMAND = re.compile(
    r"ollama-mcp-server ((?:warm|demo|tune|config|tools|call|allow|(?:un)?install|update)\b[^`#\n&|]*)"
)
_FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|json)|(?:[\w.-]+/)+)`")
# Not the name of a test, which follows its file's.
_TOOL = re.compile(r"(?<!py: )\bollama_(?!mcp\b)[a-z_]+[a-z]\b")
# Made up for contributors, or listed as what others have.
_EXAMPLES = {"ollama_version", "ollama_list", "ollama_show", "ollama_ps", "ollama_run"}
_MESSAGE = re.compile(r"`(\[[a-z_]+\] [^`]+)`")
_ELSEWHERE = {"~/.cursor/mcp.json", ".vscode/mcp.json", ".mcp.json", "allowed.json", "prompts/"}


def fenced(page: Path, language: str) -> list[str]:
    """The code blocks of a language on a page."""
    return [text for found, text in _FENCED.findall(page.read_text(encoding="utf-8")) if found == language]


def host_configurations() -> list[dict[str, Any]]:
    blocks = [json.loads(text) for page in (README, ROOT / "docs/install.md") for text in fenced(page, "json")]
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


def test_the_first_page_is_one_that_people_read() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert f"mcp-name: {registry_name()} " in text


def test_every_page_has_its_place_in_the_site_and_is_told_to_models() -> None:
    pages = [f"docs/{file}" for part in pages_of_site().values() for file in part]
    assert sorted(pages) == DOCS
    told = (ROOT / "docs/llms.txt").read_text(encoding="utf-8")
    assert all(f"/{page})" in told for page in pages)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_the_projects_address_and_command_as_they_are(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert with_address(text) == text


@pytest.mark.parametrize("page", PAGES)
def test_the_tools_that_a_page_names_exist(page: str) -> None:
    words = set(_TOOL.findall((ROOT / page).read_text(encoding="utf-8")))
    assert words <= set(load_tools()) | _EXAMPLES


def test_the_calls_in_the_blocks_of_the_pages_are_ones_that_the_tools_take() -> None:
    policy = {"push": "confirm"}
    tools = OllamaServer(Settings.model_validate({"tools": {"toolsets": ["all"]}, "policy": policy})).bound_tools
    # The page of all tools shows calls that were made.
    blocks = [block for page in DOCS if page != "docs/tools.md" for block in fenced(ROOT / page, "text")]
    calls = [call for block in blocks for call in calls_in(block)]
    assert len(calls) > 6
    for name, arguments in calls:
        tools[name].arguments.check({key: "x" if value is ... else value for key, value in arguments.items()})


def test_the_messages_of_the_page_on_troubles_are_the_codes_own() -> None:
    known = _MESSAGE.findall((ROOT / "docs/errors.md").read_text(encoding="utf-8"))
    quoted = _MESSAGE.findall((ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"))
    assert len(quoted) > 5
    assert [text for text in quoted if not any(_is_of(text, one) for one in known)] == []


def _is_of(quoted: str, template: str) -> bool:
    """Whether words of a message are those of a template, which has `...` where a message has a value."""
    parts = [part for part in template.split("...") if len(part) > 12]
    return all(words in template or any(part in words for part in parts) for words in quoted.split("...") if words)


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


async def test_the_prompt_of_the_page_on_own_prompts_is_one(simulator: Simulator, tmp_path: Path) -> None:
    (example,) = fenced(ROOT / "docs/extending.md", "markdown")
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
