"""Every recorded request, replayed in order against the simulator of that generation."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import httpx
import pytest

from ollama_mcp.formats.gguf import read_gguf_header
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.simulator import Answer, Latency, Simulator
from ollama_mcp.simulator.machine import AccountState
from ollama_mcp.simulator.store import Layer, StoredModel
from tests.contract.compare import answer_fault, difference, error_text, line_kinds
from tests.contract.gguf_files import FIXTURES, language_model
from tests.contract.recorded import SERIES, Exchange, load

# Where the simulator differs from the recording, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("v0.5.7", "embed_too_long_truncated"): "that server failed with an empty error object instead of truncating",
    ("v0.33-scripted", "029-post-show"): "the recorded body is truncated after 6,000 bytes",
}

Change = Callable[[list[Any]], list[Any]]

_VERSIONS = {"v0.5.7": "0.5.7", "v0.17.7": "0.17.7", "v0.33": "0.33.0", "v0.33-scripted": "0.33.0"}
_ACCOUNTS: dict[str, AccountState] = {"v0.33-scripted": "unreachable"}
_SCRIPTED = {
    "chat": Answer(["Hello", " there", ", friend", ".\n"]),
    "think": Answer(["The answer", " is 42", ".\n"], thinking=["Let me", " think"]),
    "tool": Answer(tool_calls=[{"name": "get_weather", "arguments": {"city": "Paris"}}]),
    "gotool": Answer(tool_calls=[{"name": "get_weather", "arguments": {"city": "Paris"}}]),
}


def _files() -> dict[str, bytes]:
    """The uploaded files by their digest in the recordings; small replacements for large ones."""
    chat, tools, embed = ((FIXTURES / f"tiny-{name}.gguf").read_bytes() for name in ("chat", "tools", "embed"))
    slow, repeating = language_model(), language_model(context=1024)
    shown = {
        exchange.name[:3]: exchange.body for exchange in load("v0.33-scripted") if exchange.name[:3] in ("027", "028")
    }
    templates = (json.loads(shown["028"])["template"], json.loads(shown["027"])["template"], "")
    scripted = [language_model(2048, template, 1) for template in templates]
    return {
        "025c2ae647f8b28e8df5b610fdae5b8d2ee5848c806a0c7a6c0a799f452f9bb7": chat,
        "ba4834517fce3bbb3cc604cd23ae41b020afd5ecf5a69fedaf0a90f93ab15b3f": embed,
        "b565ad1e88d7986e5edc52c0c7dabb7a30c0e16059d7e213d1b173ba9014ef01": tools,
        "4fd469108863f1ce8cba6b13bc2fa94b49190b81f4803b774fb8dad65b219f7a": slow,
        "bf4991fe9bd05f48a062debd5738379dfe04876d8447f6161c757d3b865ff431": repeating,
        "3609a93b6d0676e7ee424b57a77de8f47bcade20e33a458971fe49b6943778e1": language_model(512, "", 1),
        "94f39fbe0744f3ce6b3474dba6c7fb2f60395418a36166f831ef3812f45228a6": embed,
        "4d480b44c51c2aab598e6bd514585bdc37f319d12dc044dd4347d8245f38054f": scripted[0],
        "91589a9fa384cd2a4f9a65d20f23412f7839e1205c46c74f806e04efa956ad7e": scripted[1],
        "6f57b7d8bf9c521e44ddbeaea188366b5694233058bf993d59b2e002295f64ee": scripted[2],
        "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4": b"hi",
        "5ef735dccb2c79385c0c53f2869ba4dc01f37c77be934dc4386d38c988424adb": b'{"model": ',
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": b"",
    }


def _pullable() -> StoredModel:
    """The model in the recorded registry: the embedding model with a licence of six megabytes."""
    data = (FIXTURES / "tiny-embed.gguf").read_bytes()
    weights = Layer.from_bytes("model", data)
    header = read_gguf_header(io.BytesIO(data), len(data))
    return StoredModel(parse_name("tiny"), header, weights, licenses=("x" * 6_000_000,), quantization="F32")


class _Replay:
    """Sends the requests of a series and compares the responses.

    Args:
        simulator: The simulator.
        client: A client of it.
    """

    def __init__(self, simulator: Simulator, client: httpx.AsyncClient) -> None:
        self._simulator, self._client = simulator, client
        self._files = _files()
        self._renamed = {old: hashlib.sha256(data).hexdigest() for old, data in self._files.items()}

    async def answer(self, exchange: Exchange) -> tuple[httpx.Response, str]:
        """The simulator's response to the request of an exchange, and its text."""
        self._script(exchange)
        request = exchange.request
        path = self._with_digests(request["path"])
        kept = {name: value for name, value in request["headers"].items() if name in ("Host", "Origin")}
        sent = self._client.build_request(request["method"], path, content=self._body(exchange), headers=kept)
        answer = await self._client.send(sent, stream=True)
        try:
            if exchange.disconnected_after:
                lines: list[str] = []
                async for line in answer.aiter_lines():
                    lines.append(line)
                    if len(lines) == exchange.disconnected_after:
                        break
                text = "\n".join(lines)
            else:
                text = (await answer.aread()).decode()
        finally:
            await answer.aclose()
        return answer, text

    def difference(self, exchange: Exchange, answer: httpx.Response, text: str, change: Change | None) -> str:
        """The difference in one exchange, "" if there is none; `change` is applied to the lines of the response."""
        if change is not None and text and "json" in (answer.headers.get("content-type") or ""):
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            text = "\n".join(json.dumps(line) for line in change(lines))
        expected = exchange.response
        if answer.status_code != expected["status"]:
            return f"status {expected['status']} != {answer.status_code} {text[:200]}"
        for name in ("content-type", "allow"):
            if answer.headers.get(name) != expected["headers"].get(name):
                return f"{name} {expected['headers'].get(name)} != {answer.headers.get(name)}"
        if exchange.lines is not None:
            lines = [json.loads(line) for line in text.splitlines()]
            wanted, got = line_kinds(exchange.lines), line_kinds(lines)
            if wanted != got:
                return f"lines {json.dumps(wanted)[:900]} != {json.dumps(got)[:900]}"
            return "" if exchange.disconnected_after else self._answer_fault(exchange, exchange.lines, lines)
        if "json" not in (answer.headers.get("content-type") or ""):
            return "" if text == exchange.body else f"{exchange.body!r} != {text!r}"
        if not exchange.body or not text:
            return "" if exchange.body == text else f"body {exchange.body[:200]!r} != {text[:200]!r}"
        try:
            wanted: Any = json.loads(self._with_digests(exchange.body))
        except ValueError:
            return "the recorded body is truncated"
        got: Any = json.loads(text)
        if isinstance(wanted, dict) and "error" in wanted:
            pair = error_text(json.dumps(wanted)), error_text(json.dumps(got))
            return "" if pair[0] == pair[1] else f"{pair[0]} != {pair[1]}"
        return difference(wanted, got) or self._answer_fault(exchange, [wanted], [got])

    def _answer_fault(self, exchange: Exchange, expected: list[Any], got: list[Any]) -> str:
        body: dict[str, Any] = exchange.request.get("json") or {}
        return answer_fault(body, expected, got, scripted=body.get("model") in _SCRIPTED)

    def _body(self, exchange: Exchange) -> bytes:
        request = exchange.request
        if request.get("json") is not None:
            return self._with_digests(json.dumps(request["json"])).encode()
        if "body_text" in request:
            return str(request["body_text"]).encode()
        if "body_sha256" in request:
            return self._files[request["body_sha256"]]
        if "body_bytes" in request:
            return self._files[request["path"].rsplit(":", 1)[1]]
        return b""

    def _with_digests(self, text: str) -> str:
        for old, new in self._renamed.items():
            text = text.replace(old, new)
        return text

    def _script(self, exchange: Exchange) -> None:
        self._simulator.scripts.clear()
        body: dict[str, Any] = exchange.request.get("json") or {}
        answer = _SCRIPTED.get(str(body.get("model")))
        if answer is not None and exchange.request["path"] in ("/api/chat", "/api/generate"):
            limit = body.get("options", {}).get("num_predict")
            pieces = answer.text if limit is None else answer.text[:limit]
            # With its tag: "chat" alone is one of the kinds of models that the simulator knows.
            self._simulator.script(
                f"{body['model']}:latest",
                Answer(pieces, answer.thinking, answer.tool_calls, "length" if limit else "stop"),
            )


@cache
def _replayed(series: str) -> tuple[_Replay, list[tuple[Exchange, httpx.Response, str]]]:
    """A series, and what the simulator answered to it."""
    return asyncio.run(_replay(series))


async def _replay(series: str) -> tuple[_Replay, list[tuple[Exchange, httpx.Response, str]]]:
    simulator = Simulator(
        _VERSIONS[series], models=(), latency=Latency(transfer=2e7), account=_ACCOUNTS.get(series, "no_key")
    )
    async with simulator, httpx.AsyncClient(base_url=simulator.url, headers={"Accept-Encoding": ""}) as client:
        simulator.registry.up = series != "v0.33-scripted"
        simulator.registry.hosts.add("127.0.0.1:5052")
        simulator.registry.models["tiny"] = _pullable()
        replay = _Replay(simulator, client)
        return replay, [(exchange, *await replay.answer(exchange)) for exchange in load(series)]


def _differences(series: str, change: Change | None = None) -> dict[str, str]:
    """What differs, by exchange, when a series is replayed; `change` is applied to each response first."""
    replay, answers = _replayed(series)
    found = {exchange.name: replay.difference(exchange, answer, text, change) for exchange, answer, text in answers}
    return {name: text for name, text in found.items() if text}


@pytest.mark.parametrize("series", SERIES)
def test_the_simulator_answers_every_recorded_request_as_the_real_server_did(series: str) -> None:
    differences = _differences(series)
    known = {name for known_series, name in EXCEPTIONS if known_series == series}
    unexpected = {name: text for name, text in differences.items() if name not in known}
    assert not unexpected, "\n".join(f"{name}: {text}" for name, text in unexpected.items())
    assert known == known & set(differences), "an exception is no longer needed"


def _final(**changes: Any) -> Change:
    """Change fields of the last line of an inference answer; None removes one, a function gets the old value."""

    def change(lines: list[Any]) -> list[Any]:
        last: Any = lines[-1]
        if not isinstance(last, dict) or "done" not in last or "total_duration" not in last:
            return lines
        fields = {**cast("dict[str, Any]", last)}
        for name, value in changes.items():
            if value is None:
                fields.pop(name, None)
            elif name in fields:
                fields[name] = value(fields[name]) if callable(value) else value
        return [*lines[:-1], fields]

    return change


def _words_moved(order: Callable[[list[Any]], list[Any]]) -> Change:
    """Put the lines with words of a stream into another order."""

    def change(lines: list[Any]) -> list[Any]:
        return [*order(lines[:-1]), lines[-1]] if len(lines) > 2 and "message" in lines[0] else lines

    return change


def _repeated(lines: list[Any]) -> list[Any]:
    """The whole text once more in the last line, as some proxies send it."""
    if len(lines) < 3 or "response" not in lines[0]:
        return lines
    return [*lines[:-1], {**lines[-1], "response": "".join(line.get("response", "") for line in lines)}]


def _every(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    return lambda lines: [change(cast("dict[str, Any]", line)) if isinstance(line, dict) else line for line in lines]


def _other_reason(reason: str) -> str:
    return {"stop": "length", "length": "stop"}.get(reason, reason)


def _in_milliseconds(nanoseconds: int) -> int:
    return nanoseconds // 1_000_000


SABOTAGES: dict[str, Change] = {
    "done_reason is another": _final(done_reason=_other_reason),
    "done_reason is never sent": _final(done_reason=None),
    "eval_count is never sent": _final(eval_count=None),
    "prompt_eval_count is never sent": _final(prompt_eval_count=None),
    "eval_count is one": _final(eval_count=1),
    "total in milliseconds": _final(total_duration=_in_milliseconds),
    "total is never sent": _final(total_duration=None),
    "the text comes again in the last line": _repeated,
    "tokens are reversed": _words_moved(lambda lines: lines[::-1]),
    "a token is lost": _words_moved(lambda lines: lines[1:]),
    "a token comes twice": _words_moved(lambda lines: [*lines, lines[-1]]),
    "the last line is not done": _final(done=False),
    "errors have other words": _every(lambda line: {**line, "error": "failed"} if "error" in line else line),
    "the model is missing": _every(lambda line: {name: value for name, value in line.items() if name != "model"}),
    "a field is added": _every(lambda line: {**line, "extra": 1}),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_the_comparison_notices_a_simulator_that_answers_otherwise(sabotage: str) -> None:
    known = {name for known_series, name in EXCEPTIONS if known_series == "v0.33-scripted"}
    assert set(_differences("v0.33-scripted", SABOTAGES[sabotage])) - known


@pytest.mark.parametrize("series", SERIES)
def test_at_most_one_exchange_in_twenty_is_an_exception(series: str) -> None:
    assert sum(known == series for known, _ in EXCEPTIONS) <= len(load(series)) / 20
