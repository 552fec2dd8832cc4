"""Version, status and what belongs to the account on ollama.com."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.encoding import Object, as_object, timestamp
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import BARE_JSON, Reply

SIGNIN_URL = "https://ollama.com/connect?name=simulator&key=c2ltdWxhdG9y"
_NO_SUCH_HOST = "dial tcp: lookup ollama.com on 127.0.0.53:53: no such host"
_BUCKETS = {"24h": (25, timedelta(hours=1)), "7d": (8, timedelta(days=1)), "30d": (31, timedelta(days=1))}
_RECOMMENDED = (
    ("kimi-k2.6:cloud", "Long-horizon coding and agents", 262_144),
    ("glm-5.1:cloud", "Reasoning and code generation", 202_752),
    ("qwen3.5:cloud", "Reasoning, coding and agents with images", 262_144),
    ("gemma4", "Reasoning and code generation on this machine", 131_072),
)


async def root(machine: Machine, request: Request, reply: Reply) -> None:
    """The text that tells clients that this is Ollama."""
    reply.text(200, "Ollama is running", "text/plain; charset=utf-8")


async def version(machine: Machine, request: Request, reply: Reply) -> None:
    """The version."""
    reply.json({"version": machine.reported})


async def status(machine: Machine, request: Request, reply: Reply) -> None:
    """Whether the cloud is switched off."""
    disabled = machine.account == "disabled"
    reply.json({"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})


async def me(machine: Machine, request: Request, reply: Reply) -> None:
    """Who is signed in."""
    match machine.account:
        case "signed_in":
            account = {"id": "00000000-0000-4000-8000-000000000000", "email": "simulated@example.com"}
            reply.json({**account, "name": "simulated", "plan": "free"})
        case "signed_out":
            raise _unauthorized(machine)
        # Those servers took an unreachable ollama.com for nobody.
        case _ if not machine.generation.since(0, 23, 2):
            reply.json(None)
        case _:
            raise Failure(503, "account unavailable")


async def signout(machine: Machine, request: Request, reply: Reply) -> None:
    """Sign out."""
    if machine.account == "signed_out":
        raise Failure(401, "you are not currently signed in")
    if machine.account != "signed_in":
        # It has to be told to ollama.com, which is out of reach.
        raise Failure(500, "there was an error signing out")
    machine.account = "signed_out"
    reply.json(None)


async def recommendations(machine: Machine, request: Request, reply: Reply) -> None:
    """Models that Ollama suggests."""
    entries: list[Object] = []
    for name, text, context in _RECOMMENDED:
        entry: Object = {"model": name, "description": text, "context_length": context}
        if name.endswith(":cloud"):
            entry["max_output_tokens"] = context // 2
        else:
            entry["vram_bytes"] = 9_600_000_000
        entries.append(entry)
    reply.json({"recommendations": entries})


async def web_search(machine: Machine, request: Request, reply: Reply) -> None:
    """A web search by the account of this server."""
    body = as_object(decoding.parse(request.body))
    check_cloud(machine, "web search is unavailable", "/api/web_search")
    reply.json(search_results(str(body.get("query", "")), int(body.get("max_results") or 5)), content_type=BARE_JSON)


async def web_fetch(machine: Machine, request: Request, reply: Reply) -> None:
    """A web page by the account of this server."""
    body = as_object(decoding.parse(request.body))
    check_cloud(machine, "web fetch is unavailable", "/api/web_fetch")
    reply.json(fetched_page(str(body.get("url", ""))), content_type=BARE_JSON)


async def balance(machine: Machine, request: Request, reply: Reply) -> None:
    """What is left of the account's money; documented, not recorded."""
    check_cloud(machine, "account details are unavailable", "/api/balance")
    if request.query:
        raise Failure(400, "unknown query parameter")
    now = datetime.now(UTC)
    period = {"from": timestamp(now - timedelta(days=10)), "until": timestamp(now + timedelta(days=20))}
    included = {"balance_usd": 12.5, "allowance_usd": 20.0, "period": period}
    reply.json({"included": included, "purchased": {"balance_usd": 0.0}})


async def usage(machine: Machine, request: Request, reply: Reply) -> None:
    """What the account used; documented, not recorded."""
    check_cloud(machine, "account details are unavailable", "/api/usage")
    if set(request.query) - {"range", "scope"} or request.query.get("range", "24h") not in _BUCKETS:
        raise Failure(400, "unknown query parameter")
    span = request.query.get("range", "24h")
    count, width = _BUCKETS[span]
    end = datetime.now(UTC)
    counters = {"request_count": 3, "usage_usd": 0.01, "input_tokens": 1200, "output_tokens": 300}
    starts = [end - width * (count - place) for place in range(count)]
    buckets: list[Object] = [
        {"from": timestamp(start), "until": timestamp(start + width), **counters} for start in starts
    ]
    buckets[-1]["partial"] = True
    totals = {name: value * count for name, value in counters.items()}
    answer: Object = {"range": span, "scope": request.query.get("scope", "self")}
    answer |= {"granularity": "hour" if span == "24h" else "day", "from": timestamp(starts[0]), "until": timestamp(end)}
    reply.json({**answer, "totals": totals, "buckets": buckets})


def check_cloud(machine: Machine, what: str, path: str) -> None:
    """Let a call to ollama.com through, or not.

    Raises:
        Failure: 401, 403 or 502, as the account stands.
    """
    match machine.account:
        case "signed_in":
            return
        case "disabled":
            raise Failure(403, f"ollama cloud is disabled: {what}")
        case "unreachable":
            raise Failure(502, f'Post "https://ollama.com:443{path}?ts=1795229555": {_NO_SUCH_HOST}')
        case "no_key":
            raise Failure(401, "unauthorized")
        case "signed_out":
            raise _unauthorized(machine)


def _unauthorized(machine: Machine) -> Failure:
    if machine.generation.since(0, 12, 1):
        return Failure(401, "unauthorized", signin_url=SIGNIN_URL)
    return Failure(401, "unauthorized", public_key="c2ltdWxhdG9y")


def search_results(query: str, count: int) -> dict[str, object]:
    """Results of a search that nobody made."""
    found = [
        {
            "title": f"Simulated result {number} for {query}",
            "url": f"https://example.com/{number}",
            "content": f"This page was made up by the simulator. It says nothing about {query}.",
        }
        for number in range(1, max(0, min(count, 10)) + 1)
    ]
    return {"results": found}


def fetched_page(url: str) -> dict[str, object]:
    """A page that was never fetched."""
    text = f"This text stands for the page at {url}. The simulator fetched nothing."
    return {"title": "Simulated page", "content": text, "links": ["https://example.com/"]}
