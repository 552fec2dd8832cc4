"""Prompt files of the user's own, and what a bad one does: nothing but a line on stderr and in `config check`."""

import logging
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.server.guidance.prompts import parse_prompt
from ollama_mcp.simulator import Simulator
from tests.cli.support import run
from tests.guidance.helpers import prompt_text
from tests.support import connected

GOOD = """+++
title = "Review a diff"
description = "Let a local model look for defects."
capability = "tools"

[[arguments]]
name = "diff"
description = "The diff."
required = true

[[arguments]]
name = "tone"
description = "How to say it."
complete = ["blunt", "kind"]
+++
Review this: {diff}
Tone: {tone}
Ask ollama_chat or ollama_nothing.
Or ollama_chat alone, with {model}.
"""
HEAD = '+++\ntitle = "t"\ndescription = "d"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "review.md").write_text(GOOD, encoding="utf-8")
    return tmp_path


async def test_a_users_prompt_works_like_a_shipped_one(simulator: Simulator, folder: Path):
    async with connected(simulator.url, prompts={"folders": [str(folder)]}) as client:
        listed = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        assert len(listed) == 11 and listed["review"].title == "Review a diff"
        text = await prompt_text(client, "review", diff="- a\n+ b")
    # The lines with the tone that was not given and with the tool that does not exist are left out.
    assert text == 'Review this: "- a\\n+ b"\nOr ollama_chat alone, with "qwen3:4b".'


async def test_windows_line_ends_and_a_byte_order_mark_are_taken(simulator: Simulator, tmp_path: Path):
    (tmp_path / "windows.md").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    async with connected(simulator.url, prompts={"folders": [str(tmp_path)]}) as client:
        assert "Tone: " in await prompt_text(client, "windows", diff="x", tone="kind")


async def test_of_several_first_calls_the_first_possible_one_is_given(simulator: Simulator, tmp_path: Path):
    calls = "\n".join(
        (
            "First call: `ollama_nothing()`",
            "{inline}First call: `ollama_status()`",
            "{by_path}First call: `ollama_chat(",
            '  prompt="Hi {who}")`',
            "First call: `ollama_list_models()`",
        )
    )
    head = '[[arguments]]\nname = "who"\ndescription = "d"\n'
    (tmp_path / "several.md").write_text(f"{HEAD}{head}+++\nDo it.\n{calls}\n", encoding="utf-8")
    (tmp_path / "none.md").write_text(f"{HEAD}+++\nFirst call: `ollama_nothing()`\n", encoding="utf-8")
    async with connected(simulator.url, prompts={"folders": [str(tmp_path)]}) as client:
        listed = {prompt.name for prompt in (await client.list_prompts()).prompts}
        text = await prompt_text(client, "several", who="Ada")
    assert "several" in listed and "none" not in listed
    assert text == 'Do it.\n\nFirst call: `ollama_chat(\n  prompt="Hi "Ada"")`'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no front matter", "does not start with front matter"),
        ("hello\n" + GOOD, "does not start with front matter"),
        (HEAD + "+++", "does not start with front matter"),
        (HEAD + "\n+++\n", "it has no text"),
        ("+++\ntitle = \n+++\nx", "its front matter is not valid TOML"),
        ('+++\ntitle = "t"\n+++\nx', "its front matter is invalid at description: field required"),
        (HEAD + "colour = 1\n+++\nx", "invalid at colour: extra inputs are not permitted"),
        (HEAD + 'capability = "flight"\n+++\nx', "invalid at capability"),
        (HEAD + "+++\n{oops}", "its text contains {oops}, which is not one of "),
        (HEAD + '[[arguments]]\nname = "A-b"\ndescription = "d"\n+++\nx', "invalid at arguments.0.name"),
        (
            HEAD + '[[arguments]]\nname = "by_path"\ndescription = "d"\n+++\nx',
            "'by_path' has the name of a value of the host",
        ),
        (
            HEAD + '[[arguments]]\nname = "host"\ndescription = "d"\n+++\nx',
            "'host' has the name of a value of the host",
        ),
        (HEAD + '[[arguments]]\nname = "a"\ndescription = "d"\n' * 3 + "+++\nx", "invalid at"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str):
    file = tmp_path / "bad.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgument) as caught:
        parse_prompt(file)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a", "a", "two arguments 'a'"),
        ("a", "b", "its required argument must come first"),
    ],
)
def test_arguments_that_a_host_could_not_tell_apart_are_refused(tmp_path: Path, first: str, second: str, said: str):
    both = f'[[arguments]]\nname = "{first}"\ndescription = "d"\n[[arguments]]\nname = "{second}"\ndescription = "d"\n'
    file = tmp_path / "bad.md"
    file.write_text(f"{HEAD}{both}required = true\n+++\nx", encoding="utf-8")
    with pytest.raises(InvalidArgument, match=said):
        parse_prompt(file)


def test_a_name_that_hosts_could_not_type_is_refused(tmp_path: Path):
    file = tmp_path / "My prompt.md"
    file.write_text(GOOD, encoding="utf-8")
    with pytest.raises(InvalidArgument, match="its name 'My prompt'"):
        parse_prompt(file)


async def test_bad_files_are_skipped_with_a_line_each_and_the_rest_works(
    simulator: Simulator, folder: Path, caplog: pytest.LogCaptureFixture
):
    (folder / "bad.md").write_text("nothing", encoding="utf-8")
    (folder / "bytes.md").write_bytes(b"\xff\xfe\x00")
    (folder / "free_memory.md").write_text(GOOD, encoding="utf-8")
    settings: dict[str, Any] = {"prompts": {"folders": [str(folder), str(folder / "absent")]}}
    with caplog.at_level(logging.WARNING):
        async with connected(simulator.url, **settings) as client:
            names = [prompt.name for prompt in (await client.list_prompts()).prompts]
            assert "Review this" not in await prompt_text(client, "free_memory")
    assert len(names) == 11 and names[-1] == "review"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4 and all("is skipped: " in line and "\n" not in line for line in lines)
    assert "a prompt of that name already exists" in lines[2]
    assert "the folder does not exist" in lines[3]


async def test_config_check_names_the_prompts_and_the_bad_files(folder: Path):
    (folder / "bad.md").write_text("nothing", encoding="utf-8")
    ran = await run("config", "check", OLLAMA_MCP_PROMPTS__FOLDERS=str(folder))
    assert ran.code == 0, ran.err
    assert "11 prompts: choose_model, " in ran.out and ran.out.rstrip().splitlines()[-2].endswith("review.")
    assert f"Note: prompt file {folder / 'bad.md'} is skipped: it does not start with front matter" in ran.out
