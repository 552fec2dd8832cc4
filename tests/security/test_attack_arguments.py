"""Attacks by arguments, over stdio and HTTP: addresses, names that are addresses, schemas, and sheer size."""

from __future__ import annotations

from typing import Any

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Answer
from tests.faults.rig import MODEL
from tests.security.target import CANARY, Target
from tests.security.test_attack_files import SEES
from tests.support import until

INVALID = "invalid_argument"
EITHER = "invalid_argument|not_allowed"
# Each stands for this machine, where the sink is, or for a network that is not the internet.
INSIDE = [
    *("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"),
    *("0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[::127.0.0.1]", "①②⑦.⓪.⓪.①", "127。0。0。1", "\uff11\uff12\uff17.0.0.1", "loc%61lhost", "ip6-localhost"),
    *("user:pw@127.0.0.1", "example.com@127.0.0.1", "127.0.0.1#@example.com", "127.0.0.1\\@example.com"),
    *("169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fc00::1]", "[fe80::1]", "224.0.0.1"),
]


async def test_addresses_that_are_not_on_the_internet(target: Target) -> None:
    """A16, A17 and A22; the proxy of the environment (A21) is the sink, too."""
    for host in INSIDE:
        cut = next((place for place, letter in enumerate(host) if letter in "#\\"), len(host))
        url = f"http://{host[:cut]}:{target.sink.port}{host[cut:]}/a.png?sig={CANARY}"
        for tool, argument in (("ollama_generate", "images"), ("ollama_chat", "files")):
            result = await target.call(tool, model=SEES, prompt="Hi", **{argument: [url]})
            assert result.kind in EITHER.split("|"), (url, result)
            # The caller gave the key in the address; it is told without.
            assert CANARY not in result.text
        assert not target.sink.heard, host
    assert not target.sent


async def test_addresses_that_would_add_a_header_or_another_host(target: Target) -> None:
    """A22."""
    local = f"127.0.0.1:{target.sink.port}"
    for url in (
        f"http://user:{CANARY}@{local}/a.png",
        f"http://example.com\\@{local}/",
        f"http://{local}/a\tb",
        f"http://{local}/a\r\nX-Injected: 1",
        f"http://{local} /",
        f"http:{local}",
        f"file://{local}/a.png",
        f"gopher://{local}/a",
        f"http://{local}/\u202e",
    ):
        await target.refused(EITHER, "ollama_generate", model=SEES, prompt="Hi", images=[url])
    assert not target.sent


NO_NAMES = [
    "../x",
    "..%2f",
    "a/../../b",
    "x\0",
    "a\r\nb",
    "a\nERROR forged",
    "x" * 10_000,
    "ll\u0430ma",
    "\u202ex",
    "@x",
]


async def test_names_that_are_none(target: Target) -> None:
    """A27: with each tool that takes one; no line of the log is forged."""
    more: dict[str, dict[str, Any]] = {
        "ollama_chat": {"prompt": "Hi"},
        "ollama_generate": {"prompt": "Hi"},
        "ollama_embed": {"input": ["a"]},
        "ollama_batch": {"prompt": "Hi", "input": ["a"]},
        "ollama_decide": {"texts": ["a"], "questions": [{"question": "Good?"}]},
        "ollama_rank": {"query": "a", "texts": ["a", "b"]},
        "ollama_create_model": {"from": MODEL},
        "ollama_delete_model": {},
        "ollama_load_model": {},
        "ollama_unload_model": {},
        "ollama_show_model": {},
        "ollama_pull_model": {},
        "ollama_push_model": {},
    }
    for name in NO_NAMES:
        await target.refused(INVALID, "ollama_chat", model=name, prompt="Hi")
    for name in ("../x", "a\nERROR forged", "x" * 10_000):
        for tool, arguments in more.items():
            await target.refused(INVALID, tool, model=name, **arguments)
        await target.refused(INVALID, "ollama_create_model", **{"model": "x", "from": name})
        await target.refused(INVALID, "ollama_copy_model", source=name, destination="x")
        await target.refused(INVALID, "ollama_copy_model", source=MODEL, destination=name)
        await target.refused(INVALID, "ollama_compare", models=[MODEL, name], prompt="Hi")
    assert not target.sent
    assert not [line for line in target.rig.server.process.stderr if line.startswith("ERROR forged")]


async def test_names_that_are_addresses(target: Target) -> None:
    """A28, A29, A30 and A31: Ollama is not made to connect there, to publish there, or to go on without TLS."""
    sink = f"127.0.0.1:{target.sink.port}"
    names = ["169.254.169.254/x/y", "10.0.0.5:8080/a/b", f"http://{sink}/a/b", f"{sink}/a/b", "localhost/x/y"]
    for name in (*names, "evil.example/a/b", "registry.ollama.ai./a/b", "registry.ollama.ai:443/a/b"):
        for tool in ("ollama_pull_model", "ollama_push_model"):
            await target.refused("not_allowed", tool, model=name)
        await target.refused("not_allowed", "ollama_copy_model", source=MODEL, destination=name)
        await target.refused("not_allowed", "ollama_create_model", **{"model": "x", "from": name})
        await target.refused("not_allowed", "ollama_create_model", model="x", modelfile=f"FROM {name}\nSYSTEM x")
    await target.refused("not_allowed", "ollama_pull_model", model="qwen3:8b", insecure=True)
    more = {"remote_host": target.sink.url, "remote_model": "x"}
    await target.refused(EITHER, "ollama_create_model", **{"model": "x", "from": MODEL, "more": more})
    # It has such a name already.
    store = target.rig.simulator.store
    model = store.find(MODEL)
    assert model is not None
    store.add(model.renamed(parse_name(f"{sink}/a/b")))
    await target.refused("not_allowed", "ollama_push_model", model=f"{sink}/a/b")
    assert not target.sent


async def test_digests_and_file_names_that_are_paths(target: Target) -> None:
    """A32 and A33."""
    digests = ["sha256:../../x", f"sha256:{'A' * 64}", f"sha256:{'a' * 63}", "sha256-../x", f"sha256:{'a' * 64}\0"]
    digests += [f"sha256:{'a' * 64}/../../x", f"sha512:{'a' * 64}", ""]
    for digest in digests:
        await target.refused(INVALID, "ollama_check_blob", digest=digest)
        await target.refused(INVALID, "ollama_create_model", model="x", files={"model.gguf": digest})
    for key in ("../model.gguf", "/etc/model.gguf", "a/../model.gguf", "..\\model.gguf", "", "a\0b"):
        result = await target.call("ollama_create_model", model="x", files={key: f"sha256:{'a' * 64}"})
        assert result.kind, key
    paths = [one.path for one in target.rig.simulator.requests]
    assert not [path for path in paths if ".." in path or "%2e" in path.lower() or "\0" in path]
    assert not [
        body for body in (one.body for one in target.rig.simulator.requests) if b".." in body or b"/etc" in body
    ]


def _dag(levels: int) -> dict[str, Any]:
    parts: dict[str, Any] = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**parts, f"a{levels}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


async def test_schemas_that_explode(target: Target) -> None:
    """A57: refused by their size, before anything is made of them; another call meanwhile is answered."""
    bombs: list[dict[str, Any]] = [_dag(40), _dag(28), _deep(60), {"enum": list(range(100_000))}]
    bombs += [{"anyOf": [{"type": "string"}] * 3_000}, {"description": "x" * 100_000}, {"pattern": "a" * 1_000}]
    bombs += [{"minLength": 10**9}, {"maxItems": 10**9, "type": "array"}, {"type": "string", "pattern": r"(a*)*\1"}]
    for bomb in bombs:
        bombed = await target.rig.server.begin("ollama_generate", model=MODEL, prompt="Hi", format=bomb)
        assert not (await target.call("ollama_list_models")).kind
        assert (await target.rig.server.answer(bombed)).kind == INVALID
    assert not target.sent
    # One that is small, and whose match would take for ever with a matcher that goes back.
    target.rig.script(Answer(text='"' + "a" * 5_000 + 'b"'))
    checked = await target.call(
        "ollama_generate", model=MODEL, prompt="Hi", format={"type": "string", "pattern": "^(a+)+$"}
    )
    assert "does not match" in checked.text or checked.kind


async def test_schemas_that_lead_elsewhere(target: Target) -> None:
    """A58: nothing is fetched, whichever keyword names it."""
    url = f"{target.sink.url}/schema.json"
    for schema in (
        {"$ref": url},
        {"properties": {"a": {"$ref": f"{url}#/x"}}},
        {"$schema": url, "type": "string"},
        {"$id": url, "$ref": "other.json"},
        {"$dynamicRef": url},
        {"properties": {"a": {"$schema": url}}},
        {"properties": {"a": {"$id": url, "$ref": "b.json"}}},
    ):
        result = await target.call("ollama_generate", model=MODEL, prompt="Hi", format=schema)
        assert result.kind in ("", INVALID), schema
        assert not target.sink.heard, schema


async def test_arguments_out_of_proportion(target: Target) -> None:
    """A61: the limit is named, and nothing is sent."""
    tool = {"type": "function", "function": {"name": "x", "description": "x", "parameters": {"type": "object"}}}
    for name, arguments in (
        ("ollama_generate", {"model": SEES, "prompt": "Hi", "images": ["AAAA"] * 2_000}),
        ("ollama_embed", {"model": "nomic-embed-text", "input": ["a"] * 100_000}),
        ("ollama_chat", {"model": MODEL, "prompt": "Hi", "tools": [tool] * 1_000}),
        ("ollama_compare", {"models": [MODEL] * 1_000, "prompt": "Hi"}),
        ("ollama_decide", {"model": MODEL, "texts": ["a"] * 100_000, "questions": [{"question": "Good?"}]}),
        ("ollama_rank", {"query": "a", "texts": ["a"] * 2_000}),
    ):
        said = await target.refused(EITHER, name, **arguments)
        assert any(letter.isdigit() for letter in said), said
    assert not target.sent


async def test_a_tool_that_prints_and_one_that_is_named_like_a_built_in(target: Target) -> None:
    """A62 and A63: stdout has the protocol only, and the built-in stays."""
    assert (await target.call("my_print")).text == "done"
    result = await target.call("ollama_chat", model=MODEL, prompt="Hi")
    assert not result.kind and "shadowed" not in result.text
    process = target.rig.server.process
    assert [line for line in process.stderr if "tool 'ollama_chat' of" in line and "is skipped" in line]
    if target.over_http:
        # There stdout is nobody's.
        return
    # It goes where it harms nobody; what a child writes may come late.
    for said in ("printed while it is loaded", "printed", "written", "written below", "from a child"):
        await until(lambda said=said: said in process.stderr, 60)
