"""The files of deploy/: a kept tool accepts each, and what they tell the server is something that it takes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ollama_mcp.cli.options import build_parser
from ollama_mcp.settings import Settings
from tests.packaging.conftest import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
COMPOSED = sorted(DEPLOY.glob("*compose.yaml"))
_BIN = Path(sys.executable).parent
_UNITS = (DEPLOY / "ollama-mcp-server.service", DEPLOY / "ollama-mcp-worker.service")
_PROGRAM = "ollama-mcp-server"
_VARIABLE = re.compile(r"\bOLLAMA_MCP_[A-Z_]+\b")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a checker."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, check=False)


def tool(name: str) -> Path:
    """A checker of the dev group, or a skip where it has no build for this platform."""
    path = _BIN / name
    if not path.exists():
        assert (sys.platform, name) != ("linux", "check-jsonschema")
        pytest.skip(f"{name} has no build for this platform")
    return path


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of the manifests, by file and kind."""
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield f"{path.name}: {document['kind']}", document


def command_lines() -> Iterator[list[str]]:
    """The arguments with which the files start the server or call it."""
    for path in _UNITS:
        unit = re.search(rf"^ExecStart=\S*/{_PROGRAM} (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert unit
        yield shlex.split(unit[1])
    image = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert image
    yield json.loads(image[1])
    for _, document in documents():
        if document["kind"] in ("Deployment", "Job"):
            yield document["spec"]["template"]["spec"]["containers"][0]["args"]
    for path in COMPOSED:
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"run --rm mcp (.*)$", text, re.MULTILINE):
            yield shlex.split(line)
        services = yaml.safe_load(text)["services"].values()
        yield from (service["command"] for service in services if "command" in service)


def test_what_the_files_start_is_a_command_of_this_server():
    lines = list(command_lines())
    assert len(lines) >= 4
    for line in lines:
        build_parser().parse_args(line)


def test_the_variables_that_the_files_set_are_settings():
    names = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))
    }
    assert names
    for name in names:
        fields: dict[str, Any] = Settings.model_fields
        *groups, last = name.removeprefix("OLLAMA_MCP_").lower().split("__")
        for group in groups:
            fields = fields[group].annotation.model_fields
        assert last in fields, name


def test_the_image_has_all_that_a_wheel_is_built_from(tmp_path: Path):
    patterns = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert patterns[0] == "*"
    for name in (pattern.removeprefix("!") for pattern in patterns[1:]):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=tmp_path)
    assert built.returncode == 0, built.stderr


@pytest.mark.slow
def test_hadolint_accepts_the_dockerfile():
    checked = run(tool("hadolint"), DEPLOY / "Dockerfile")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", COMPOSED, ids=lambda path: path.name)
def test_the_compose_files_are_ones_by_their_schema(path: Path):
    checked = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_the_workflows_are_ones_by_their_schema(path: Path):
    checked = run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_takes_the_manifests(path: Path):
    checked = run(tool("kubernetes-validate"), "--strict", path)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", _UNITS, ids=lambda path: path.stem)
def test_systemd_takes_the_unit_and_finds_little_exposed(tmp_path: Path, path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this system has no systemd-analyze")
    unit = tmp_path / path.name
    text = path.read_text(encoding="utf-8").replace("/opt/ollama-mcp-server/bin", str(_BIN))
    unit.write_text(text, encoding="utf-8")
    verified = run("systemd-analyze", "verify", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    # Of 0 to 100; 100 is without any of its restrictions.
    rated = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit)
    assert rated.returncode == 0, rated.stdout
