"""What a result says to do next is, in the shell, a command of this program that can be run."""

import shlex

import pytest

from ollama_mcp.cli.advice import in_shell
from ollama_mcp.cli.options import build_parser
from ollama_mcp.simulator import Simulator
from tests.cli.support import run
from tests.cli.test_advice import follow
from tests.guidance.helpers import calls_in
from tests.guidance.test_all_messages import texts

MODEL = "llama3.2:3b"


def commands_in(text: str) -> list[list[str]]:
    """The words of each command of this program in a text."""
    parts = [shlex.split(part) for part in text.split("`")[1::2]]
    return [words[1:] for words in parts if words and words[0].endswith("ollama-mcp-server")]


def test_every_call_of_a_tool_in_any_text_is_a_command_that_this_shell_takes() -> None:
    named = 0
    for text in texts():
        words = text.words.replace("\0", "...").replace("={model}", "='m'").replace("offset=...", "offset=1")
        # Guides are no advice of a result.
        if calls_in(words) and "/guides.py" not in text.place:
            advised = commands_in(in_shell(words))
            assert len(advised) >= len(calls_in(words)), text
            for command in advised:
                build_parser().parse_args(command)
                named += 1
    assert named > 15


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Call ollama_list_models to see all.", "Run `PROGRAM models` to see all."),
        ("ollama_pull_model(model='a b') downloads, if the user agrees", "`PROGRAM models pull 'a b'` downloads"),
        ("ollama_list_models(capability='vision') lists", "`PROGRAM call ollama_list_models capability=vision` lists"),
        ("`ollama_show_model` tells", "`PROGRAM models show NAME` tells"),
        # What is no advice stays.
        ("Unknown tool: 'ollama_chatt'. Did you mean ollama_chat?", None),
        ("/srv/ollama_mcp/ollama_chat.d/x", None),
        ("the answer (a=b) of ollama_mcp", None),
    ],
)
def test_what_is_told_to_an_agent_is_told_to_a_person(text: str, said: str | None) -> None:
    shown = in_shell(text)
    for command in commands_in(shown):
        program = shown[shown.index("`") + 1 : shown.index(f" {command[0]}")]
        shown = shown.replace(program, "PROGRAM")
    assert shown == (said or text)


async def test_a_missing_model_leads_to_its_download(simulator: Simulator) -> None:
    ran = await run("ask", "-m", "no-such:1b", "Hi", OLLAMA_HOST=simulator.url)
    assert ["models", "pull", "no-such:1b"] in commands_in(ran.err) and ["models"] in commands_in(ran.err)
    assert "ollama_" not in ran.err and "the user" not in ran.err


@pytest.mark.slow
async def test_what_is_advised_can_be_done(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> None:
    missing = await run("models", "show", "nope", OLLAMA_HOST=simulator.url)
    code, said = await follow(missing.err, tmp_path_factory.mktemp("home"), OLLAMA_HOST=simulator.url)
    assert code == 0 and MODEL in said


async def test_a_command_that_is_no_call_of_a_tool_advises_so_too(simulator: Simulator) -> None:
    ran = await run("tune", "-m", "nope", OLLAMA_HOST=simulator.url)
    assert ran.code == 2 and commands_in(ran.err) and "ollama_" not in ran.err
