"""What is no model is refused before a byte of it leaves, by words that quote nothing of it."""

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.simulator import Fault, Simulator
from tests.contract.gguf_files import gguf, language_model
from tests.create.support import (
    CANARY,
    allow,
    changing_requests,
    create,
    llama_folder,
    safetensors,
    sent,
    sentence_transformer_folder,
    split_gguf,
    uploads,
)
from tests.support import connected, data, error

BASE = "llama3.2:3b"


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(language_model())
        file.truncate(1 << 40)


def tensor(shape: list[int], offsets: list[int], kind: str = "F16") -> dict[str, Any]:
    return {"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}}


HEAD = struct.pack("<4sIQQ", b"GGUF", 3, 1 << 60, 1)

BROKEN: dict[str, tuple[bytes, str]] = {
    "a secret": (CANARY, "not a file of a model"),
    "a password safe": (b"\x03\xd9\xa2\x9a" + CANARY, "not a file of a model"),
    "nothing": (b"", "is empty"),
    "four bytes": (b"GGUF", "is truncated"),
    "2^60 tensors": (HEAD + bytes(64), "claims"),
    "cut short": (language_model()[:-40], "ends beyond the end"),
    "no architecture": (gguf({"general.name": "x"}), "names no architecture"),
    "version 1": (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "version is 1"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_file_that_is_no_whole_gguf_stays_here(simulator: Simulator, tmp_path: Path, case: str):
    content, why = BROKEN[case]
    (tmp_path / "x.gguf").write_bytes(content)
    async with connected(simulator.url, read=allow(tmp_path), tools={"toolsets": ["default", "blobs"]}) as client:
        by_path = error(await create(client, path=f"{tmp_path}/x.gguf"), "invalid_argument")
        by_modelfile = error(await create(client, modelfile=f"SYSTEM x\nFROM {tmp_path}/x.gguf"), "invalid_argument")
        by_blob = await client.call_tool("ollama_push_blob", {"path": f"{tmp_path}/x.gguf"})
    for words in (by_path, by_modelfile, error(by_blob, "invalid_argument")):
        assert why in words and "x.gguf" in words
        assert CANARY.decode() not in words
    assert "modelfile, line 2: " in by_modelfile
    assert not changing_requests(simulator)


async def test_a_sparse_file_is_refused_at_once(simulator: Simulator, tmp_path: Path):
    sparse(tmp_path / "x.gguf")
    started = time.monotonic()
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert "is sparse" in error(await create(client, path=f"{tmp_path}/x.gguf"), "invalid_argument")
    assert time.monotonic() - started < 10, "it was read"
    assert not changing_requests(simulator)


SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "header longer than the file": (struct.pack("<Q", 1 << 40) + b"{}", "claims"),
    "seven bytes": (bytes(7), "claims"),
    "no object": (safetensors(b"[1]"), "not a JSON object"),
    "no json": (safetensors(b"{" + CANARY), "not a JSON object"),
    "nested": (safetensors(b'{"a":' * 50_000), "not a JSON object"),
    "no tensors": (safetensors({}), "0 bytes of weights"),
    "beyond the end": (safetensors(tensor([4, 4], [0, 32])), "32 bytes of weights"),
    "more than it says": (safetensors(data=bytes(17)), "16 bytes of weights"),
    "another shape": (safetensors(tensor([9], [0, 16])), "does not match its shape"),
    "backwards": (safetensors(tensor([0], [16, 0])), "does not match its shape"),
    "a gap": (safetensors(tensor([2], [12, 16])), "overlap or leave a gap"),
    "overlap": (
        safetensors({**tensor([8], [0, 16]), "v": {"dtype": "F16", "shape": [4], "data_offsets": [8, 16]}}),
        "overlap",
    ),
    "unknown type": (safetensors(tensor([8], [0, 16], "F17")), "no known type, shape and offsets"),
    "negative": (safetensors(tensor([-8], [0, 16])), "no known type, shape and offsets"),
    "three places": (safetensors(tensor([8], [0, 16, 16])), "no known type, shape and offsets"),
    "a text for a tensor": (safetensors({"w": "x"}), "no known type, shape and offsets"),
}


@pytest.mark.parametrize("case", SAFETENSORS)
async def test_safetensors_with_a_lying_header_stay_here(tmp_path: Path, case: str):
    content, why = SAFETENSORS[case]
    folder = llama_folder(tmp_path / "llama", model__safetensors=content)
    async with Simulator(version="0.17.7") as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, path=str(folder)), "invalid_argument")
    assert why in words and "model.safetensors" in words
    assert CANARY.decode() not in words
    assert not changing_requests(simulator)


SHARDS = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
INDEX = "model__safetensors__index__json"
FOLDERS: dict[str, tuple[dict[str, bytes | None], str]] = {
    "no config": ({"config__json": None}, "no config.json"),
    "no weights": ({"model__safetensors": None}, "neither safetensors nor a GGUF file"),
    "a config that is none": ({"config__json": CANARY}, "config.json"),
    "a tokenizer that is none": ({"tokenizer__model": CANARY}, "tokenizer.model"),
    "a template that is none": ({"chat_template__jinja": CANARY}, "chat_template.jinja"),
    "a missing shard": (
        {
            "model__safetensors": None,
            "model-00001-of-00002__safetensors": safetensors(),
            INDEX: json.dumps(SHARDS).encode(),
        },
        "lacks 'model-00002-of-00002.safetensors'",
    ),
    "an index that is none": ({INDEX: b"[]"}, "is not a valid index"),
}


@pytest.mark.parametrize("case", FOLDERS)
async def test_a_folder_that_is_no_model_stays_here(tmp_path: Path, case: str):
    other, why = FOLDERS[case]
    folder = llama_folder(tmp_path / "llama", **other)
    async with Simulator(version="0.17.7") as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, path=str(folder)), "invalid_argument")
    assert why in words
    assert CANARY.decode() not in words
    assert not changing_requests(simulator)


@pytest.mark.parametrize("content", [b"[", b"{}", b"[]", b'["1_Pooling"]', b'[{"password": "' + CANARY + b'"}]'])
async def test_a_list_of_layers_that_is_none_stays_here(simulator: Simulator, tmp_path: Path, content: bytes):
    folder = sentence_transformer_folder(tmp_path / "minilm", modules=content)
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, path=str(folder)), "invalid_argument")
    assert "is not a list of layers" in words and CANARY.decode() not in words
    assert not changing_requests(simulator)


async def test_a_pooling_layer_without_its_settings_is_named(simulator: Simulator, tmp_path: Path):
    folder = sentence_transformer_folder(tmp_path / "minilm", pooling=False)
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, path=str(folder)), "invalid_argument")
    assert "lacks '1_Pooling/config.json', which its modules.json names" in words
    assert not changing_requests(simulator)


async def test_a_crowded_folder_is_not_searched(simulator: Simulator, tmp_path: Path):
    (tmp_path / "many").mkdir()
    for number in range(5_001):
        (tmp_path / "many" / str(number)).touch()
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert "more than 5,000" in error(await create(client, path=f"{tmp_path}/many"), "invalid_argument")


@pytest.mark.parametrize("what", ["missing", "another", "impossible", "no gguf"])
async def test_a_split_model_needs_all_its_parts(simulator: Simulator, tmp_path: Path, what: str):
    parts = split_gguf(tmp_path)
    asked = parts[0]
    if what == "missing":
        parts[1].unlink()
    elif what == "another":
        parts[1].write_bytes(parts[2].read_bytes())
    elif what == "no gguf":
        parts[1].write_bytes(CANARY)
    else:
        asked = parts[0].rename(tmp_path / "big-00004-of-00003.gguf")
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, path=str(asked)), "invalid_argument")
    assert ("big-00002-of-00003" if what != "impossible" else "big-00004-of-00003") in words
    assert not changing_requests(simulator)


@pytest.mark.parametrize(
    ("modelfile", "place", "why"),
    [
        (f"PASSWORD={CANARY.decode()}", "line 1, column 1", "unknown instruction"),
        (f"FROM {BASE}\nFORM {CANARY.decode()}", "line 2, column 1", "unknown instruction"),
        (f"FROM {BASE}\nPARAMETER {CANARY.decode().replace('-', '_')} 1", "line 2, column 1", "unknown parameter"),
        (f"FROM {BASE}\nPARAMETER temprature 1", "line 2, column 1", "unknown parameter"),
        (f"FROM {BASE}\nPARAMETER temperature {CANARY.decode()}", "line 2, column 1", "temperature must be a number"),
        (f"FROM {BASE}\nPARAMETER num_predict 0", "line 2, column 1", "num_predict must be"),
        (f"FROM {BASE}\nREQUIRES {CANARY.decode()}", "line 2, column 1", "REQUIRES must be a version"),
        ("FROM \n", "line 1, column 1", "FROM has no value"),
        ("SYSTEM x\n\n", "line 1, column 1", "no FROM"),
        (f"FROM {CANARY.decode()}@x y", "line 1, column 1", "neither the name of a model nor"),
        (f"FROM {BASE}\nFROM /usr/blobs/sha256-{'0' * 64}", "line 2, column 1", "a model and a file"),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
async def test_a_modelfile_that_cannot_be_followed_says_where_and_quotes_nothing(
    simulator: Simulator, tmp_path: Path, modelfile: str, place: str, why: str, as_file: bool
):
    path = tmp_path / "Modelfile"
    path.write_text(modelfile)
    given = str(path) if as_file else f"{modelfile}\n# end"
    if not as_file and not modelfile.lower().startswith(("from", "system", "password")):
        return
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, modelfile=given), "invalid_argument")
    assert place in words and why in words
    assert CANARY.decode() not in words and CANARY.decode().replace("-", "_") not in words
    assert not changing_requests(simulator)


async def test_a_misspelt_parameter_gets_the_closest(simulator: Simulator):
    async with connected(simulator.url) as client:
        words = error(await create(client, modelfile=f"FROM {BASE}\nPARAMETER temprature 1"), "invalid_argument")
    assert "Did you mean 'temperature'?" in words


@pytest.mark.parametrize("target", ["../secret/x.gguf", "~/x.gguf", "/etc/passwd", "{outside}/x.gguf", "./link.gguf"])
@pytest.mark.parametrize("instruction", ["FROM", "ADAPTER"])
async def test_a_modelfile_leads_to_no_file_that_may_not_be_read(
    simulator: Simulator, tmp_path: Path, target: str, instruction: str
):
    """An allowed Modelfile is no way around the rules for the files that it names."""
    allowed, outside = tmp_path / "allowed", tmp_path / "secret"
    allowed.mkdir()
    outside.mkdir()
    (outside / "x.gguf").write_bytes(language_model())
    (allowed / "link.gguf").symlink_to(outside / "x.gguf")
    base = "" if instruction == "FROM" else f"FROM {BASE}\n"
    (allowed / "Modelfile").write_text(f"{base}{instruction} {target.replace('{outside}', str(outside))}")
    async with connected(simulator.url, read=allow(allowed)) as client:
        words = error(await create(client, modelfile=f"{allowed}/Modelfile"), "not_allowed")
    assert "read.upload_folders" in words
    assert not simulator.requests


async def test_paths_outside_are_refused_whatever_they_are(simulator: Simulator, tmp_path: Path):
    folder = llama_folder(tmp_path / "llama")
    (tmp_path / "x.gguf").write_bytes(language_model())
    async with connected(simulator.url, tools={"toolsets": ["default", "blobs"]}) as client:
        for path in (str(folder), f"{tmp_path}/x.gguf", f"{tmp_path}/absent"):
            error(await create(client, path=path), "not_allowed")
            error(await create(client, modelfile=path), "not_allowed")
            error(await client.call_tool("ollama_push_blob", {"path": path}), "not_allowed")
    assert not simulator.requests


async def test_a_private_file_in_an_allowed_folder_is_no_blob(simulator: Simulator, tmp_path: Path):
    for name in ("CANARY.kdbx", "notes.txt", "config.json", "id_rsa"):
        (tmp_path / name).write_bytes(CANARY)
    async with connected(simulator.url, read=allow(tmp_path), tools={"toolsets": ["blobs"]}) as client:
        for name in ("CANARY.kdbx", "notes.txt", "config.json", "id_rsa"):
            result = await client.call_tool("ollama_push_blob", {"path": f"{tmp_path}/{name}"})
            words = error(result, "not_allowed" if name in ("CANARY.kdbx", "id_rsa") else "invalid_argument")
            assert "7f3a91" not in words
    assert not simulator.requests


async def test_a_blob_from_a_file_is_sent_once_and_may_be_expected(simulator: Simulator, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(language_model())
    (tmp_path / "config.json").write_text("{}")
    async with connected(simulator.url, read=allow(tmp_path), tools={"toolsets": ["blobs"]}) as client:
        wrong = {"path": f"{tmp_path}/x.gguf", "digest": "sha256:" + "0" * 64}
        assert "has the digest" in error(await client.call_tool("ollama_push_blob", wrong), "invalid_argument")
        assert not uploads(simulator)
        first = data(await client.call_tool("ollama_push_blob", {"path": f"{tmp_path}/x.gguf"}))
        assert data(await client.call_tool("ollama_push_blob", {"path": f"{tmp_path}/x.gguf"})) == first
        assert uploads(simulator) == [first["digest"]]
        assert data(await client.call_tool("ollama_push_blob", {"path": f"{tmp_path}/config.json"}))["present"]
        error(await client.call_tool("ollama_push_blob", {}), "invalid_argument")


async def test_relative_paths_in_a_modelfile_given_as_text_lead_nowhere(simulator: Simulator):
    async with connected(simulator.url) as client:
        for modelfile in ("FROM ./x.gguf", "FROM x.gguf", f"FROM {BASE}\nADAPTER lora", "FROM ../x", "FROM ."):
            words = error(await create(client, modelfile=modelfile), "invalid_argument")
            assert "has no folder" in words and "absolute path" in words
    assert not simulator.requests


async def test_a_modelfile_cannot_be_made_of_itself(simulator: Simulator, tmp_path: Path):
    (tmp_path / "Modelfile").write_text("FROM ./Modelfile")
    (tmp_path / "Other").write_text("FROM ./Modelfile")
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        circular = error(await create(client, modelfile=f"{tmp_path}/Modelfile"), "invalid_argument")
        other = error(await create(client, modelfile=f"{tmp_path}/Other"), "invalid_argument")
    assert "refers to this Modelfile itself" in circular
    assert "not a file of a model" in other
    assert not simulator.requests


async def test_a_huge_modelfile_is_not_read(simulator: Simulator, tmp_path: Path):
    (tmp_path / "Modelfile").write_bytes(b"#" * 1_000_001)
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert "larger than 1.0 MB" in error(
            await create(client, modelfile=f"{tmp_path}/Modelfile"), "invalid_argument"
        )


async def test_a_missing_adapter_is_named_by_its_line(simulator: Simulator, tmp_path: Path):
    (tmp_path / "Modelfile").write_text(f"FROM {BASE}\nADAPTER lora\nADAPTER gone.gguf")
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, modelfile=f"{tmp_path}/Modelfile"), "invalid_argument")
    assert "line 2, column 1: ADAPTER does not name an existing file" in words


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
async def test_an_unreadable_file_is_named(simulator: Simulator, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(language_model())
    (tmp_path / "x.gguf").chmod(0)
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert "x.gguf" in error(await create(client, path=f"{tmp_path}/x.gguf"), "disk")


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0", "latest"])
async def test_a_failed_create_leaves_the_old_model_as_it_was(version: str, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(language_model())
    async with Simulator(version=version) as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        assert not (await create(client, base=BASE, system="first")).is_error
        before = simulator.store.find("mine")
        bad_template = await create(client, base=BASE, template="{{ .Prompt")
        unquantizable = await create(client, path=f"{tmp_path}/x.gguf", quantize="Q8_0")
        (tmp_path / "y.gguf").write_bytes(language_model(1024))
        simulator.faults.add(
            Fault("status", path="/api/blobs/*", nth=2, status=500, text="write blobs/x: no space left on device")
        )
        full = await create(client, path=f"{tmp_path}/y.gguf")
        assert simulator.store.find("mine") == before
        assert not (await create(client, path=f"{tmp_path}/x.gguf")).is_error
    assert "template error" in error(bad_template, "invalid_argument")
    assert "quantization is only supported" in error(unquantizable, "invalid_argument")
    assert "disk" in error(full, "server_error")
    assert len(sent(simulator, "/api/create")) == 4
