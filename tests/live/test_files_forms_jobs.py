"""Models from files, confirmations, and long calls, end to end on real servers and the simulator."""

import re
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.confirmation.user import NO, YES, User, with_user
from tests.support import connected, data, error, text, texts

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MODEL = "mcp-live-file"
UPLOADS: dict[str, Any] = {
    "read": {"upload_folders": [str(FIXTURES)]},
    "policy": {"delete": "allow", "overwrite": "allow"},
}
WARM = {"num_predict": 40, "temperature": 1.0, "seed": 1}


async def _call(client: Client, tool: str, **arguments: Any) -> Any:
    return await client.call_tool(tool, arguments, read_timeout_seconds=120)


async def test_a_gguf_file_and_a_modelfile_become_models(ollama: str):
    modelfile = "FROM mcp-live-file\nSYSTEM Be a pirate.\nPARAMETER stop END\nPARAMETER stop FIN\nMESSAGE user Hi\n"
    async with connected(ollama, **UPLOADS) as client:
        made = await _call(client, "ollama_create_model", model=MODEL, path=str(FIXTURES / "tiny-chat.gguf"))
        assert text(made).startswith(f"{MODEL} was created from tiny-chat.gguf")
        again = await _call(client, "ollama_create_model", model="mcp-live-pirate", modelfile=modelfile)
        assert not again.is_error, texts(again)
        card = await _call(client, "ollama_show_model", model="mcp-live-pirate", include=["system", "modelfile"])
        assert data(card)["included"]["system"] == "Be a pirate."
        assert data(card)["default_options"]["stop"] == ["END", "FIN"]
        # The Modelfile that show returns creates the same model.
        shown = data(card)["included"]["modelfile"].replace("FROM mcp-live-pirate", f"FROM {MODEL}")
        third = await _call(client, "ollama_create_model", model="mcp-live-again", modelfile=shown)
        assert not third.is_error, texts(third)
        copy = await _call(client, "ollama_show_model", model="mcp-live-again", include=["system"])
        assert data(copy)["included"]["system"] == "Be a pirate."
        for model in (MODEL, "mcp-live-pirate", "mcp-live-again"):
            assert not (await _call(client, "ollama_delete_model", model=model)).is_error


@pytest.mark.usefixtures("quick_users")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_deleting_waits_for_the_users_consent(ollama: str, mode: str):
    async with connected(ollama, **UPLOADS) as client:
        await _call(client, "ollama_create_model", model=MODEL, path=str(FIXTURES / "tiny-chat.gguf"))
    async with with_user(ollama, User(NO), mode=mode) as client:
        error(await _call(client, "ollama_delete_model", model=MODEL, confirm=True), "declined")
        assert not (await _call(client, "ollama_show_model", model=MODEL)).is_error
    async with with_user(ollama, User(YES), mode=mode) as client:
        assert not (await _call(client, "ollama_delete_model", model=MODEL)).is_error
        error(await _call(client, "ollama_show_model", model=MODEL), "model_not_found")


async def test_a_background_call_is_fetched_as_a_job(ollama: str):
    async with connected(ollama, **UPLOADS) as client:
        await _call(client, "ollama_create_model", model=MODEL, path=str(FIXTURES / "tiny-chat.gguf"))
        started = await _call(client, "ollama_generate", model=MODEL, prompt="Hi", options=WARM, background=True)
        assert not started.is_error, texts(started)
        identity = re.findall(r"id='(\S+?)'", texts(started)[-1])[0]
        assert identity in texts(await _call(client, "ollama_job", action="list"))[0]
        result = await _call(client, "ollama_job", action="result", id=identity)
        assert not result.is_error and texts(result)[0]
        await _call(client, "ollama_delete_model", model=MODEL)
