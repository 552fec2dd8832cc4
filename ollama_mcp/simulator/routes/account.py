"""Version, status, and the endpoints that use the account on ollama.com."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ollama_mcp.simulator import go_json
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import Object, as_object, timestamp
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.response import JSON_WITHOUT_CHARSET, ResponseWriter

# Number and length of the buckets for each range.
_BUCKETS = {"24h": (25, timedelta(hours=1)), "7d": (8, timedelta(days=1)), "30d": (31, timedelta(days=1))}
_RECOMMENDED = (
    ("kimi-k2.6:cloud", "Long-horizon coding and agents", 262_144),
    ("glm-5.1:cloud", "Reasoning and code generation", 202_752),
    ("qwen3.5:cloud", "Reasoning, coding and agents with images", 262_144),
    ("gemma4", "Reasoning and code generation on this machine", 131_072),
)


async def root(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Answer with the text by which clients recognize Ollama."""
    response.text(200, "Ollama is running", "text/plain; charset=utf-8")


async def version(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Report the version."""
    response.json({"version": machine.reported_version})


async def status(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Report whether the cloud is disabled."""
    disabled = machine.account == "disabled"
    response.json({"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})


async def me(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Report the account that is signed in."""
    match machine.account:
        case "signed_in":
            account = {"id": "00000000-0000-4000-8000-000000000000", "email": "simulated@example.com"}
            response.json({**account, "name": "simulated", "plan": "free"})
        case "signed_out":
            raise machine.unauthorized()
        # Before v0.23.2 an unreachable ollama.com gave 200 with `null`.
        case _ if not machine.generation.since(0, 23, 2):
            response.json(None)
        case _:
            raise ErrorResponse(503, "account unavailable")


async def signout(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Sign out."""
    if machine.account == "signed_out":
        raise ErrorResponse(401, "you are not currently signed in")
    if machine.account != "signed_in":
        # Signing out needs a request to ollama.com, which fails in these states.
        raise ErrorResponse(500, "there was an error signing out")
    machine.account = "signed_out"
    response.json(None)


async def recommendations(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """List the models that Ollama recommends."""
    entries: list[Object] = []
    for name, text, context in _RECOMMENDED:
        entry: Object = {"model": name, "description": text, "context_length": context}
        if name.endswith(":cloud"):
            entry["max_output_tokens"] = context // 2
        else:
            entry["vram_bytes"] = 9_600_000_000
        entries.append(entry)
    response.json({"recommendations": entries})


async def web_search(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Search the web with the account of this server."""
    # An empty body is a 400 before the account is checked.
    body = as_object(go_json.parse(request.body))
    machine.check_cloud_access("web search is unavailable", "/api/web_search")
    response.json(
        simulated_search(str(body.get("query", "")), int(body.get("max_results") or 5)),
        content_type=JSON_WITHOUT_CHARSET,
    )


async def web_fetch(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Fetch a web page with the account of this server."""
    body = as_object(go_json.parse(request.body))
    machine.check_cloud_access("web fetch is unavailable", "/api/web_fetch")
    response.json(simulated_page(str(body.get("url", ""))), content_type=JSON_WITHOUT_CHARSET)


async def balance(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Report the balance of the account; documented, not recorded."""
    machine.check_cloud_access("account details are unavailable", "/api/balance")
    if request.query:
        raise ErrorResponse(400, "unknown query parameter")
    now = datetime.now(UTC)
    period = {"from": timestamp(now - timedelta(days=10)), "until": timestamp(now + timedelta(days=20))}
    included = {"balance_usd": 12.5, "allowance_usd": 20.0, "period": period}
    response.json({"included": included, "purchased": {"balance_usd": 0.0}})


async def usage(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Report the usage of the account; documented, not recorded."""
    machine.check_cloud_access("account details are unavailable", "/api/usage")
    if set(request.query) - {"range", "scope"} or request.query.get("range", "24h") not in _BUCKETS:
        raise ErrorResponse(400, "unknown query parameter")
    span = request.query.get("range", "24h")
    count, width = _BUCKETS[span]
    end = datetime.now(UTC)
    counters = {"request_count": 3, "usage_usd": 0.01, "input_tokens": 1200, "output_tokens": 300}
    starts = [end - width * (count - index) for index in range(count)]
    buckets: list[Object] = [
        {"from": timestamp(start), "until": timestamp(start + width), **counters} for start in starts
    ]
    # The current hour or day is not over.
    buckets[-1]["partial"] = True
    totals = {name: value * count for name, value in counters.items()}
    result: Object = {"range": span, "scope": request.query.get("scope", "self")}
    result |= {"granularity": "hour" if span == "24h" else "day", "from": timestamp(starts[0]), "until": timestamp(end)}
    response.json({**result, "totals": totals, "buckets": buckets})


def simulated_search(query: str, count: int) -> dict[str, object]:
    """Made-up results of a web search."""
    results = [
        {
            "title": f"Simulated result {number} for {query}",
            "url": f"https://example.com/{number}",
            "content": f"This page was made up by the simulator. It says nothing about {query}.",
        }
        # ollama.com returns at most 10 results.
        for number in range(1, max(0, min(count, 10)) + 1)
    ]
    return {"results": results}


def simulated_page(url: str) -> dict[str, object]:
    """A made-up web page."""
    text = f"This text stands for the page at {url}. The simulator fetched nothing."
    return {"title": "Simulated page", "content": text, "links": ["https://example.com/"]}
