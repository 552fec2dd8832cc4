"""Models from Modelfiles, GGUF files, safetensors folders and blobs, on every generation of Ollama."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ollama_mcp.formats.modelfile import parse_modelfile
from ollama_mcp.simulator import Simulator
from tests.contract.gguf_files import FIXTURES, gguf, language_model
from tests.contract.recorded import load
from tests.create.support import (
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
from tests.support import connected, data, error, text

BASE = "llama3.2:3b"
GENERATIONS = ["0.5.7", "0.17.7", "0.33.0", "latest"]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def card(client: Any, *parts: str) -> dict[str, Any]:
    shown = await client.call_tool("ollama_show_model", {"model": "mine", "include": list(parts)})
    return data(shown)["included"]


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_modelfile_as_text_makes_its_model(version: str):
    modelfile = f"""FROM {BASE}
# what it is
SYSTEM \"\"\"You are "Mario".
It's me.\"\"\"
PARAMETER temperature 0.5
PARAMETER stop A
PARAMETER stop "B "
PARAMETER num_ctx 4096
PARAMETER mirostat 2
TEMPLATE {{{{ .System }}}} {{{{ .Prompt }}}}
LICENSE MIT
MESSAGE user hi
MESSAGE assistant yo
"""
    async with Simulator(version=version) as simulator, connected(simulator.url) as client:
        made = await create(client, modelfile=modelfile)
        assert "mirostat is omitted" in text(made)
        parts = await card(client, "system", "messages", "template")
    (request,) = sent(simulator, "/api/create")
    assert request["from"] == BASE
    assert request["parameters"] == {"temperature": 0.5, "stop": ["A", "B "], "num_ctx": 4096}
    assert request["license"] == ["MIT"]
    assert parts["system"] == 'You are "Mario".\nIt\'s me.'
    assert parts["messages"] == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    assert parts["template"] == "{{ .System }} {{ .Prompt }}"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_a_gguf_file_is_uploaded_once_and_makes_a_model(version: str, tmp_path: Path):
    path = FIXTURES / "tiny-chat.gguf"
    async with Simulator(version=version) as simulator, connected(simulator.url, read=allow(FIXTURES)) as client:
        made = await create(client, path=str(path))
        again = await create(client, model="other", path=str(path))
        assert not again.is_error
    assert text(made).startswith("mine was created from tiny-chat.gguf in ")
    assert uploads(simulator) == [digest(path.read_bytes())]
    assert sent(simulator, "/api/create")[0]["files"] == {"tiny-chat.gguf": digest(path.read_bytes())}


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0"])
async def test_a_safetensors_folder_is_sent_without_what_is_no_part_of_the_model(version: str, tmp_path: Path):
    folder = llama_folder(tmp_path / "llama")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    async with Simulator(version=version) as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        made = await create(client, path=str(folder))
    assert not made.is_error, made
    files = sent(simulator, "/api/create")[0]["files"]
    assert sorted(files) == [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
    ]
    assert files["model.safetensors"] == digest((folder / "model.safetensors").read_bytes())


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0"])
async def test_a_sentence_transformers_folder_goes_with_the_list_of_its_layers(version: str, tmp_path: Path):
    folder = sentence_transformer_folder(tmp_path / "minilm")
    async with Simulator(version=version) as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        made = await create(client, path=str(folder))
        assert not made.is_error, made
        embedded = await client.call_tool("ollama_embed", {"model": "mine", "input": ["one text"]})
    files = sent(simulator, "/api/create")[0]["files"]
    assert sorted(files) == [
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
    ]
    assert data(embedded)["dimensions"] == 384


@pytest.mark.parametrize("how", ["path", "files", "modelfile"])
async def test_newer_servers_are_not_sent_safetensors(simulator: Simulator, tmp_path: Path, how: str):
    folder = llama_folder(tmp_path / "llama")
    given = {
        "path": str(folder),
        "files": {"model.safetensors": digest(b"")},
        "modelfile": f"FROM {folder}",
    }
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        words = error(await create(client, **{how: given[how]}), "unsupported_by_version")
    assert "Since v0.35.0" in words and "GGUF" in words
    assert not changing_requests(simulator)


async def test_all_parts_of_a_split_model_are_sent(simulator: Simulator, tmp_path: Path):
    parts = split_gguf(tmp_path)
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        made = await create(client, path=str(parts[1]))
    assert not made.is_error, made
    assert list(sent(simulator, "/api/create")[0]["files"]) == [part.name for part in parts]
    assert sorted(uploads(simulator)) == sorted(digest(part.read_bytes()) for part in parts)


async def test_paths_of_a_modelfile_are_relative_to_its_real_folder(simulator: Simulator, tmp_path: Path):
    (tmp_path / "real" / "weights").mkdir(parents=True)
    (tmp_path / "real" / "weights" / "base.gguf").write_bytes(language_model())
    (tmp_path / "real" / "lora.gguf").write_bytes(gguf({"general.architecture": "llama", "general.type": "adapter"}))
    modelfile = tmp_path / "real" / "Modelfile"
    modelfile.write_text("FROM ./weights/base.gguf\nADAPTER lora.gguf\nSYSTEM hi")
    (tmp_path / "link").symlink_to(modelfile)
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        made = await create(client, modelfile=str(tmp_path / "link"), system="hello", license="MIT")
    assert not made.is_error, made
    (request,) = sent(simulator, "/api/create")
    assert request["files"] == {"base.gguf": digest(language_model())}
    assert list(request["adapters"]) == ["lora.gguf"]
    assert (request["system"], request["license"]) == ("hello", ["MIT"])


async def test_a_model_and_its_projector_may_have_the_same_name(simulator: Simulator, tmp_path: Path):
    for name, context in (("a", 512), ("b", 1024)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.gguf").write_bytes(language_model(context))
    modelfile = f"FROM {tmp_path}/a/model.gguf\nFROM {tmp_path}/b/model.gguf"
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert not (await create(client, modelfile=modelfile)).is_error
    files = sent(simulator, "/api/create")[0]["files"]
    assert files == {"model.gguf": digest(language_model(512)), "1-model.gguf": digest(language_model(1024))}


async def test_what_the_call_says_wins_over_the_modelfile(simulator: Simulator):
    modelfile = f"FROM {BASE}\nSYSTEM a\nPARAMETER top_k 3\nPARAMETER seed 1\nLICENSE one\nMESSAGE user x"
    extra = {
        "system": "b",
        "parameters": {"seed": 2},
        "license": ["two"],
        "messages": [{"role": "user", "content": "y"}],
        "template": "{{ .Prompt }}",
        "more": {"renderer": "qwen3-coder"},
    }
    async with connected(simulator.url) as client:
        assert not (await create(client, modelfile=modelfile, **extra)).is_error
    (request,) = sent(simulator, "/api/create")
    assert (request["system"], request["template"], request["renderer"]) == ("b", "{{ .Prompt }}", "qwen3-coder")
    assert request["parameters"] == {"top_k": 3, "seed": 2}
    assert request["license"] == ["one", "two"]
    assert request["messages"] == [{"role": "user", "content": "y"}]


async def test_a_model_is_quantized_as_it_is_made(simulator: Simulator, tmp_path: Path):
    path = tmp_path / "f16.gguf"
    path.write_bytes(language_model(file_type=1))
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        made = await create(client, path=str(path), quantize="Q4_K_M")
        assert not made.is_error, made
        shown = data(await client.call_tool("ollama_show_model", {"model": "mine"}))
    assert shown["quantization"] == "Q4_K_M"


@pytest.mark.parametrize("version", GENERATIONS)
async def test_what_show_says_makes_the_same_model_again(version: str):
    async with Simulator(version=version) as simulator, connected(simulator.url) as client:
        first = {
            "base": BASE,
            "system": 'Say "x".\n Then stop.',
            "parameters": {"temperature": 0.25, "stop": ["a b", "<|end|>"]},
            "messages": [{"role": "user", "content": "hi"}],
            "template": "{{ .System }}\n{{ .Prompt }}",
        }
        assert not (await create(client, **first)).is_error
        before = simulator.store.find("mine")
        shown = (await card(client, "modelfile"))["modelfile"]
        made = await create(client, model="twin", modelfile=shown)
        assert not made.is_error, made
        raw = await client.call_tool("ollama_show_model", {"model": "twin", "include": ["parameters"]})
        assert not raw.is_error
    after = simulator.store.find("twin")
    assert before is not None and after is not None
    assert (after.weights, after.system, after.template) == (before.weights, before.system, before.template)
    assert (after.parameters, after.messages) == (before.parameters, before.messages)


SHOWN = {
    f"{series} {exchange.name}": json.loads(exchange.body)
    for series in ("v0.5.7", "v0.17.7", "v0.33")
    for exchange in load(series)
    if exchange.name in ("show", "show_derived", "show_embed", "show_tools")
}


@pytest.mark.parametrize("case", sorted(SHOWN))
def test_what_real_servers_show_is_read_as_what_was_built_in(case: str):
    shown = SHOWN[case]
    modelfile = parse_modelfile(shown["modelfile"])
    # Since v0.30 `template` may be the one inside the weights, which is no part of the Modelfile.
    assert modelfile.last("template") == ("{{ .Prompt }}" if case == "v0.33 show_tools" else shown["template"])
    assert modelfile.last("system") == shown.get("system", "")
    assert [{"role": each.key, "content": each.value} for each in modelfile.all("message")] == shown.get("messages", [])
    assert "\n".join(each.value for each in modelfile.all("license")) == shown.get("license", "")
    assert re.search(r"/blobs/sha256-[0-9a-f]{64}$", modelfile.last("from"))
    parameters = [line.split(None, 1) for line in shown.get("parameters", "").splitlines()]
    # v0.5.7 gives them in any order.
    assert sorted((each.key, each.value) for each in modelfile.all("parameter")) == sorted(
        (name, value.strip('"')) for name, value in parameters
    )


async def test_weights_that_show_names_by_their_blob_are_not_looked_for_on_this_machine(simulator: Simulator):
    weights = simulator.store.models[next(iter(simulator.store.models))].weights
    simulator.store.add_blob(weights, language_model())
    path = f"/usr/share/ollama/.ollama/models/blobs/sha256-{weights.digest.removeprefix('sha256:')}"
    async with connected(simulator.url) as client:
        made = await create(client, modelfile=f"FROM {path}\nSYSTEM x")
        assert not made.is_error, made
        absent = await create(client, modelfile=f"FROM {path[:-4]}0000\nSYSTEM x")
    assert sent(simulator, "/api/create")[0]["files"] == {"from-0.gguf": weights.digest}
    assert "has no blob" in error(absent, "invalid_argument")


async def test_servers_before_structured_requests_get_the_modelfile_itself(tmp_path: Path):
    (tmp_path / "a.gguf").write_bytes(language_model())
    modelfile = f'FROM {tmp_path}/a.gguf\nSYSTEM You are "x".\nPARAMETER use_mmap true\nPARAMETER stop a\nLICENSE MIT'
    async with Simulator(version="0.5.4") as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        await create(client, modelfile=modelfile, messages=[{"role": "user", "content": "hi"}])
        await create(client, base=BASE, system="s")
        renderer = await create(client, base=BASE, more={"renderer": "x"})
        ending = await create(client, base=BASE, system='"""\n"\n"x')
    first, second = sent(simulator, "/api/create")
    assert "files" not in first
    assert first["modelfile"].splitlines() == [
        f"FROM @{digest(language_model())}",
        'SYSTEM You are "x".',
        "PARAMETER use_mmap true",
        "PARAMETER stop a",
        "LICENSE MIT",
        "MESSAGE user hi",
    ]
    assert second["modelfile"] == f"FROM {BASE}\nSYSTEM s\n"
    error(renderer, "unsupported_by_version")
    assert "line that ends with quotes" in error(ending, "invalid_argument")


async def test_a_folder_with_one_gguf_model_is_that_model(simulator: Simulator, tmp_path: Path):
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "a.gguf").write_bytes(language_model())
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert not (await create(client, path=str(folder))).is_error
        (folder / "b.gguf").write_bytes(language_model())
        words = error(await create(client, path=str(folder)), "invalid_argument")
    assert "2 models in GGUF format" in words


async def test_an_adapter_folder_goes_with_its_base(tmp_path: Path):
    folder = tmp_path / "lora"
    llama_folder(
        folder,
        config__json=None,
        model__safetensors=None,
        adapter_config__json=b'{"r": 8}',
        adapter_model__safetensors=safetensors(),
    )
    async with Simulator(version="0.17.7") as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        alone = await create(client, path=str(folder))
        made = await create(client, modelfile=f"FROM {BASE}\nADAPTER {folder}")
        assert not made.is_error, made
    assert "is an adapter, not a model" in error(alone, "invalid_argument")
    (request,) = sent(simulator, "/api/create")
    assert request["from"] == BASE
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(request["adapters"])


async def test_a_draft_model_goes_with_its_model(tmp_path: Path):
    (tmp_path / "draft.gguf").write_bytes(language_model())
    modelfile = f"FROM {BASE}\nDRAFT {tmp_path}/draft.gguf\nCAPABILITY tools\nREQUIRES v0.35.0\nPARSER a\nRENDERER b"
    async with Simulator(version="latest") as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        made = await create(client, modelfile=modelfile)
        assert not made.is_error, made
    async with Simulator(version="0.17.7") as older, connected(older.url, read=allow(tmp_path)) as client:
        refused = await create(client, modelfile=f"FROM {BASE}\nDRAFT {tmp_path}/draft.gguf")
    (request,) = sent(simulator, "/api/create")
    assert request["draft_files"] == {"draft.gguf": digest(language_model())}
    assert (request["capabilities"], request["requires"]) == (["tools"], "0.35.0")
    assert (request["parser"], request["renderer"]) == ("a", "b")
    assert "draft_files" in error(refused, "unsupported_by_version")


async def test_the_long_token_lists_of_a_real_model_are_passed_over(tmp_path: Path):
    tokens = [f"token{number}" for number in range(150_000)]
    (tmp_path / "x.gguf").write_bytes(
        gguf({"general.architecture": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": tokens})
    )
    async with Simulator() as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        assert not (await create(client, path=f"{tmp_path}/x.gguf")).is_error


async def test_a_recipe_has_exactly_one_source(simulator: Simulator):
    async with connected(simulator.url) as client:
        for given in ({}, {"base": BASE, "modelfile": f"FROM {BASE}"}, {"path": "/x", "base": BASE}):
            assert "exactly one" in error(await create(client, **given), "invalid_argument")
    assert not simulator.requests
