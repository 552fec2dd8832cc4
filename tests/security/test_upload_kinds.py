"""Files that clients send: by which names, and of which kinds."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ollama_mcp.simulator import Simulator
from tests.security.uploads import MODEL, Sender, on_disk, png, team_with_files
from tests.support import data, texts

HOSTILE = [
    "../../../../etc/passwd",
    "..\\..\\windows.txt",
    "/etc/shadow",
    "a\0b.txt",
    "line\nbreak\r\nX: y.txt",
    "evil\u202egnp.txt",
    "C:\\x:stream.txt",
    "notes.txt:1-5",
    "*?[a].txt",
    "!not.txt",
    "..",
    "",
    "   ",
    ".env",
    "id_rsa",
    "x" * 4_000 + ".txt",
    "\N{GRINNING FACE}" * 300,
    "名前" * 200 + ".txt",
    "a.part",
    "CON",
    "upload:upload:x",
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_only_a_name(simulator: Simulator, tmp_path: Path, name: str) -> None:
    async with team_with_files(simulator, tmp_path) as (team, ann, _):
        reference = await ann.name(name, b"CANARY\n")
        shown = reference.partition("/")[2]
        assert 0 < len(shown) <= 100 and not set(shown) & set("/\\:*?[]!\n\r\0\u202e\"'<>|")
        (file,) = on_disk(tmp_path)
        assert file.parent.parent == tmp_path / "sent" and file.stat().st_mode & 0o77 == 0
        assert await ann.names() == [reference]
        async with team.client("ann") as client:
            for given in (reference, f"upload:{shown}"):
                said = await client.call_tool("ollama_chat", {"model": MODEL, "prompt": "Sum up", "files": [given]})
                assert not said.is_error, texts(said)
        assert simulator.requests[-1].body.count(b"CANARY") == 1


NOT_TAKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is empty"),
    "a program": (b"\x7fELF\2\1\1" + bytes(200), "a program"),
    "a program named as an image": (b"MZ\x90\0" + bytes(200), "a program"),
    "an archive": (b"PK\3\4" + bytes(60), "a ZIP archive"),
    "bytes": (bytes(range(256)) * 400, "not text"),
    "a video": (b"\0\0\0\x20ftypisom" + bytes(200), "video"),
    "a model": (b"GGUF\3\0\0\0" + bytes(200), "kind model"),
    "weights": ((40).to_bytes(8, "little") + b'{"a":1}' + bytes(60), "kind model"),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
async def test_what_a_file_is_counts_and_not_its_name(simulator: Simulator, tmp_path: Path, case: str) -> None:
    content, why = NOT_TAKEN[case]
    async with team_with_files(simulator, tmp_path) as (_, ann, _):
        for name in ("note.txt", "image.png", "model.gguf"):
            answer = await ann.send(name, content, Content_Type="image/png")
            assert answer.status_code == 415 and why in answer.text
        assert not on_disk(tmp_path)


async def test_the_kinds_of_the_settings_are_taken(simulator: Simulator, tmp_path: Path, tiny_chat: bytes) -> None:
    uploads = {"kinds": ["model", "image"]}
    async with team_with_files(simulator, tmp_path, uploads) as (team, ann, _):
        assert (await ann.send("note.txt", b"words")).status_code == 415
        assert (await ann.send("whatever", png())).json()["kind"] == "image"
        async with httpx.AsyncClient(base_url=team.url.rsplit("/", 1)[0]) as http, team.client("boss") as client:
            name = await Sender(team, "boss", http).name("tiny.gguf", tiny_chat)
            made = await client.call_tool("ollama_create_model", {"model": "mine", "path": name})
            assert not made.is_error, texts(made)
            assert "mine:latest" in {
                model["name"] for model in data(await client.call_tool("ollama_list_models", {}))["models"]
            }
