"""README's three steps, literally, in an empty home: from the clone to the first answer over a file in Claude Code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from ollama_mcp.simulator import Answer, Simulator
from tests import installed
from tests.clients.dialects import Use
from tests.clients.hosts import Claude, Home, Server
from tests.clients.scripted_model import Script, ScriptedModel
from tests.packaging.conftest import ROOT, uv_variables

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="the steps are for a shell of POSIX"),
]

# The one that is chosen where a call names none.
MODEL = "gemma3:4b"
QUOTE = "The boiler is serviced in May."
NOTES = f"# The house\n\n{QUOTE}\n"
_NOWHERE = "http://127.0.0.1:9"
_START = re.compile(r"^## Start$(.*?)^## ", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SECONDS = 400


def agent(result: list[str]) -> Script:
    """What an agent does about the sentence: it hands the file over, and tells what came back."""
    result.append((yield Use("ollama_chat", {"prompt": "What is it about?", "files": ["README.md"], "cite": True})))
    yield "It is about a house."


def steps() -> tuple[str, str, str]:
    """The commands of README's first two steps, and the sentence of the third."""
    found = _START.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    first, second = (re.sub(r"^ +", "", block, flags=re.MULTILINE) for block in _BLOCK.findall(found[1]))
    (sentence,) = re.findall(r'type that sentence: "([^"]+)"', " ".join(found[1].split()))
    return first, second, sentence


async def typed(script: str, folder: Path, variables: dict[str, str]) -> str:
    """Type lines into a shell; what they printed, once all have succeeded."""
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-e", "-c", script),
        cwd=folder,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    assert process.returncode == 0, said.decode()[-3000:]
    return said.decode()


async def test_three_steps_lead_to_an_answer_over_a_file(simulator: Simulator, tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        installed.unavailable("there is no repository to clone")
    first, second, sentence = steps()
    host, home = Claude(), Home(tmp_path / "a home")
    # A project is what has such a folder.
    (home.project / ".git").mkdir(parents=True)
    (home.project / "README.md").write_text(NOTES, encoding="utf-8")
    program = Path(host.program()[0])
    simulator.script(
        MODEL,
        Answer(text=json.dumps({"answer": "A house.", "quotes": [{"quote": QUOTE, "path": "README.md", "line": 3}]})),
    )
    results = list[str]()
    async with ScriptedModel(agent(results), host.prefix) as model:
        host.configure(home.folder, model.url, Server(_NOWHERE))
        own = uv_variables(tmp_path / "bin")
        variables = home.environment(model.url, host.variables(model.url))
        variables["PATH"] = os.pathsep.join([own["PATH"], str(program.parent)])
        # The repository's address leads here; there is no Ollama yet.
        (address,) = re.findall(r"git clone (\S+)", first)
        git = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": address,
        }
        shown = await typed(first, home.folder, {**own, **git, "HOME": str(home.folder), "OLLAMA_HOST": _NOWHERE})
        assert "All steps succeeded." in shown
        (checkout,) = [file.parent for file in home.folder.glob("*/Makefile")]
        added = await typed(second, checkout, {**variables, "OLLAMA_HOST": simulator.url})
        assert "Claude Code: added by `claude mcp add" in added and sentence in " ".join(added.split())
        options = ("--output-format", "stream-json", "--verbose", "--allowedTools", "mcp__ollama")
        command = f"claude -p '{sentence}' {' '.join(options)} --model claude-sonnet-5-5"
        said = await typed(command, home.project, variables)
    assert "It is about a house." in said
    (shown,) = results
    answer = json.loads(shown)
    assert answer["text"] == "A house."
    assert f'quote found at {home.project / "README.md"}:3: "{QUOTE}"' in answer["notes"]
