"""What hosts install as a whole: accepted by the tools that check it, and running as it is installed."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from uv import find_uv_bin

from bundles.desktop import desktop_manifest, icon, write_desktop_extension
from bundles.links import cursor_link, lm_studio_link, vscode_link
from bundles.manifests import PLUGIN, SUMMARY, manifests, run_in
from ollama_mcp import __version__
from ollama_mcp._project import IS_PUBLISHED, OWNER, REPOSITORY, has_placeholder, uvx_command
from ollama_mcp.cli.options import build_parser, load_from_options
from tests.packaging.conftest import ROOT, offered_tools

_BIN = Path(sys.executable).parent


def configuration() -> dict[str, object]:
    command, *args = uvx_command()
    return {"command": command, "args": args}


def test_the_link_of_vs_code_decodes_to_a_server():
    for insiders, scheme in ((False, "vscode"), (True, "vscode-insiders")):
        link = urlsplit(vscode_link(insiders=insiders))
        target = parse_qs(link.query)["url"][0]
        start, _, text = target.partition("?")
        assert start == f"{scheme}:mcp/install"
        assert json.loads(unquote(text)) == {"name": "ollama", **configuration()}


@pytest.mark.parametrize("link", [cursor_link, lm_studio_link])
def test_links_with_base64_decode_to_a_server(link: Callable[[], str]):
    values = parse_qs(urlsplit(link()).query)
    assert values["name"] == ["ollama"]
    assert json.loads(base64.b64decode(values["config"][0])) == configuration()


def test_the_registry_takes_no_longer_summary():
    assert len(SUMMARY) <= 100


def test_each_manifest_names_the_same_version_and_no_other_address():
    texts = "".join(manifests().values())
    versions = {json.loads(text)["version"] for text in manifests().values() if '"version"' in text}
    assert versions == {__version__}
    assert texts.count("github.com/") == texts.count(f"github.com/{OWNER}/")


def test_the_changelog_has_a_dated_part_for_the_version_and_one_for_what_comes():
    parts = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert parts[0] == ("Unreleased", "")
    assert parts[1][0] == __version__ and re.fullmatch(r" - \d{4}-\d\d-\d\d", parts[1][1])


def test_the_package_index_is_told_the_same_address():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert all(url.startswith(REPOSITORY) for url in urls.values())


def test_what_runs_without_a_copy_is_the_one_command_of_the_project():
    assert uvx_command()[0] == "uvx"
    assert uvx_command()[-1] == "ollama-mcp-server"
    assert (len(uvx_command()) == 2) == IS_PUBLISHED


def test_a_release_is_refused_while_the_address_is_a_placeholder():
    done = subprocess.run(
        [sys.executable, "-m", "bundles", "--release"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode == 1) == has_placeholder()
    assert ("OWNER" in done.stderr) == has_placeholder()


async def test_each_optional_field_of_the_extension_has_a_default():
    for name, field in (await desktop_manifest())["user_config"].items():
        assert "default" in field, name
        assert not field["required"], name


def test_folders_that_the_user_left_out_are_none():
    for given, expected in (
        ([], []),
        (["${user_config.folders}"], []),
        ([""], []),
        (["/a b", "/c"], ["/a b", "/c"]),
    ):
        options = build_parser().parse_args(["--folders", *given])
        assert load_from_options(options).settings.read.text_folders == expected


def test_the_icon_is_as_large_as_hosts_ask_for():
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(icon())) as image:
        assert image.size == (512, 512)


@pytest.mark.slow
def test_the_kept_checker_of_plugins_and_registry_entries_finds_no_error(tmp_path: Path):
    for path, text in manifests().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "skills", tmp_path / "skills")
    done = subprocess.run(
        [_BIN / "skillsaw", "lint", "--format", "json", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert {"marketplace", "codex-marketplace", "mcp-registry", "agentskills"} <= set(
        json.loads(done.stdout)["stats"]["repo_types"]
    )


@pytest.fixture
def uv_cache() -> str:
    """Where uv keeps what it has downloaded: home is an empty folder for what it starts."""
    return subprocess.run([find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
async def test_the_extension_runs_from_where_it_is_unpacked(tmp_path: Path, uv_cache: str):
    extension = write_desktop_extension(tmp_path / "dist", await desktop_manifest())
    unpacked = tmp_path / "an unpacked one"
    with zipfile.ZipFile(extension) as archive:
        archive.extractall(unpacked)
    manifest = json.loads((unpacked / "manifest.json").read_text(encoding="utf-8"))
    assert all((unpacked / name).is_file() for name in (manifest["icon"], *manifest["screenshots"]))
    started = manifest["server"]["mcp_config"]
    assert started["command"] == "uv"
    folders = [str(tmp_path), str(unpacked)]
    args: list[str] = []
    for arg in started["args"]:
        args += folders if arg == "${user_config.folders}" else [arg.replace("${__dirname}", str(unpacked))]
    own = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_", "PIP_"))}
    variables = {**own, **started["env"], "UV_CACHE_DIR": uv_cache, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "env")}
    names = await offered_tools(find_uv_bin(), *args, folder=tmp_path, variables=variables)
    assert names == [tool["name"] for tool in manifest["tools"]]


def test_plugins_run_from_their_own_copy():
    for path, variable in (
        (".claude-plugin/plugin.json", "${CLAUDE_PLUGIN_ROOT}"),
        ("gemini-extension.json", "${extensionPath}"),
    ):
        server = json.loads(manifests()[path])["mcpServers"][PLUGIN]
        assert [server["command"], *server["args"]] == run_in(variable)
