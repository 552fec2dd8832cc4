"""A folder outside the allowed ones is asked for by a form, once."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ollama_mcp.simulator import Simulator
from tests.confirmation.user import DISMISSED, NO, YES, User, with_user
from tests.support import error

ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
NOTHING = {"image_folders": list[str](), "temp_images": False, "working_folder": "never"}


def _picture(folder: Path, name: str = "photo.png") -> Path:
    folder.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    (folder / name).write_bytes(buffer.getvalue())
    return folder / name


def _ask(*pictures: Path) -> dict[str, Any]:
    return {"model": "gemma3:4b", "prompt": "What is this?", "images": [str(picture) for picture in pictures]}


def _asked_ollama(simulator: Simulator) -> int:
    return [seen.path for seen in simulator.requests].count("/api/chat")


@ERAS
async def test_a_folder_is_opened_by_the_users_yes_for_this_process_only(
    simulator: Simulator, tmp_path: Path, mode: str
):
    first, second = _picture(tmp_path / "holiday"), _picture(tmp_path / "holiday", "other.png")
    user = User(YES)
    file = tmp_path / "allowed.json"
    async with with_user(simulator.url, user, mode=mode, allowed=file, read=NOTHING) as client:
        assert not (await client.call_tool("ollama_chat", _ask(first))).is_error
        assert not (await client.call_tool("ollama_chat", _ask(second))).is_error
    folder = str(tmp_path / "holiday")
    said = f"This allows reading images in the folder {folder} and all below it, until the server ends. Allow it?"
    assert user.questions == [said]
    assert not file.exists()
    again = User(NO)
    async with with_user(simulator.url, again, mode=mode, allowed=file, read=NOTHING) as client:
        error(await client.call_tool("ollama_chat", _ask(first)), "not_allowed")
    assert again.questions == [said]


@ERAS
async def test_each_folder_of_a_call_is_a_question_of_its_own(simulator: Simulator, tmp_path: Path, mode: str):
    pictures = [_picture(tmp_path / name) for name in ("one", "two")]
    user = User(YES)
    async with with_user(simulator.url, user, mode=mode, read=NOTHING) as client:
        assert not (await client.call_tool("ollama_chat", _ask(*pictures))).is_error
    assert len(user.forms) == 2
    assert _asked_ollama(simulator) == 1


@ERAS
async def test_no_leaves_the_error_and_is_not_asked_again(simulator: Simulator, tmp_path: Path, mode: str):
    picture = _picture(tmp_path / "private")
    user = User(NO)
    async with with_user(simulator.url, user, mode=mode, read=NOTHING) as client:
        for _ in range(2):
            said = error(await client.call_tool("ollama_chat", _ask(picture)), "not_allowed")
            assert "ollama-mcp-server allow" in said
    assert len(user.forms) == 1
    assert not _asked_ollama(simulator)


@ERAS
async def test_a_form_that_was_put_away_is_no_refusal_for_good(simulator: Simulator, tmp_path: Path, mode: str):
    picture = _picture(tmp_path / "private")
    user = User(DISMISSED, YES)
    async with with_user(simulator.url, user, mode=mode, read=NOTHING) as client:
        error(await client.call_tool("ollama_chat", _ask(picture)), "not_allowed")
        assert not (await client.call_tool("ollama_chat", _ask(picture))).is_error


async def test_a_yes_to_a_folder_opens_nothing_that_is_hidden_in_it(simulator: Simulator, tmp_path: Path):
    hidden = _picture(tmp_path / "holiday", ".secret.png")
    user = User(YES)
    async with with_user(simulator.url, user, read=NOTHING) as client:
        assert "hidden" in error(await client.call_tool("ollama_chat", _ask(hidden)), "not_allowed")
    assert len(user.forms) == 1
    assert not _asked_ollama(simulator)


async def test_a_folder_whose_name_cannot_be_shown_whole_is_not_asked_for(simulator: Simulator, tmp_path: Path):
    folder = tmp_path / ("a" * 200)
    folder.mkdir()
    picture = _picture(folder / ("b" * 200))
    user = User(YES)
    async with with_user(simulator.url, user, read=NOTHING) as client:
        error(await client.call_tool("ollama_chat", _ask(picture)), "not_allowed")
    assert not user.forms


async def test_over_http_no_folder_is_ever_asked_for(simulator: Simulator, tmp_path: Path):
    user = User(YES)
    async with with_user(simulator.url, user, transport="http", read=NOTHING) as client:
        error(await client.call_tool("ollama_chat", _ask(_picture(tmp_path / "holiday"))), "not_allowed")
    assert not user.forms


async def test_the_system_is_never_asked_for(simulator: Simulator):
    user = User(YES)
    async with with_user(simulator.url, user, read=NOTHING) as client:
        error(await client.call_tool("ollama_chat", _ask(Path("/proc/self/environ"))), "not_allowed")
    assert not user.forms
