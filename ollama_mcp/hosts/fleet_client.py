"""The client of several hosts: sends each request to one of them, and to another where nothing is lost by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ollama_mcp.api.admission import MODEL_PATHS
from ollama_mcp.api.client import OllamaClient
from ollama_mcp.api.host_config import ClientTimeouts
from ollama_mcp.api.http_session import ApiRequest, ApiResponse, HttpSession, RequestInfo
from ollama_mcp.errors import (
    ApiError,
    Busy,
    Interrupted,
    InvalidArgument,
    ModelNotFound,
    OllamaMCPError,
    Unreachable,
)

if TYPE_CHECKING:
    from ollama_mcp.api.responses import ModelSummary, RunningModel
    from ollama_mcp.hosts.fleet import Fleet
    from ollama_mcp.hosts.member import Member

_STREAMED = frozenset(("/api/chat", "/api/generate"))
# Which of several hosts should have or lose a model is for the caller to say.
_ON_ONE_HOST = ("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs/")


def open_fleet_client(fleet: Fleet, timeouts: ClientTimeouts) -> FleetClient:
    """The client that chooses among the hosts of a fleet."""
    return FleetClient(fleet, FleetSession(fleet, timeouts))


class FleetClient(OllamaClient):
    """Calls whichever host is expected to finish first; its lists are those of all hosts."""

    def __init__(self, fleet: Fleet, session: FleetSession) -> None:
        super().__init__(session.base_url, session=session)
        self._fleet = fleet

    async def ping(self) -> None:
        """Return if any host answers."""
        await self._fleet.installed_anywhere()

    async def tags(self) -> list[ModelSummary]:
        """The models of all hosts, each name once."""
        return await self._fleet.installed_anywhere()

    async def ps(self) -> list[RunningModel]:
        """The loaded models of all hosts, each name once."""
        return await self._fleet.loaded_anywhere()

    async def _fetch_version(self) -> str:
        """The lowest version of the hosts that answer: what it has, all of them have."""
        await self._fleet.learn()
        versions = [one.inventory.version for one in self._fleet.chosen_from if one.inventory is not None]
        if not versions:
            return await super()._fetch_version()
        return str(min(versions, key=lambda version: (version.known, version.numbers)))


class FleetSession(HttpSession):
    """Sends each request over the session of one of the hosts."""

    def __init__(self, fleet: Fleet, timeouts: ClientTimeouts) -> None:
        first = fleet.for_auto[0].config
        super().__init__(
            first.url,
            name=", ".join(one.config.name for one in fleet.for_auto),
            api_key=None,
            headers={},
            timeouts=timeouts,
            verify=True,
            ca_file=None,
        )
        self.base_url = fleet.url
        self._fleet = fleet

    def describe(self, request: ApiRequest) -> RequestInfo:
        """What errors of the request name that are of no single host."""
        return RequestInfo(self.base_url, self.name, request.method, request.path, request.model)

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request to one host, and where that fails without anything being lost to the next.

        A connection that is not established, a host that has no room or no longer has the model: any number of others.
        A gateway's error or a connection that broke after the request was sent: one other, since a prompt that crashes
        one host must not be taken to all. Never after the first bytes of the answer.

        Raises:
            ApiError: As of one host, the last that was tried.
            InvalidArgument: The request is for one host, which was not named.
        """
        if request.path.startswith(_ON_ONE_HOST):
            names = ", ".join(one.config.name for one in self._fleet.members)
            raise InvalidArgument(f"{request.path} needs the name of a host.", next_step=f"Hosts: {names}.")
        left: list[Member] = list(await self._candidates(request))
        tried: list[str] = []
        moved_after_sending = False
        while True:
            member = self._fleet.pick(request.model, left) if request.model else left[0]
            left.remove(member)
            try:
                return await self._send_to(member, request, is_last=not left)
            except ApiError as error:
                move = may_move(error)
                is_allowed = move == "freely" or (move == "once" and not moved_after_sending)
                tried.append(member.config.name)
                if is_allowed and not left and request.model:
                    left = await self._others(request.model, tried)
                if not is_allowed or not left:
                    if earlier := tried[:-1]:
                        error.message = f"{error.message} Tried before: {', '.join(earlier)}."
                    raise
                moved_after_sending = moved_after_sending or move == "once"

    async def _others(self, model: str, tried: Sequence[str]) -> list[Member]:
        """Before a call fails: hosts that were not tried, and are back by now, or have the model by now."""
        await self._fleet.learn(wait=True, all_hosts=True)
        try:
            found = await self._fleet.candidates(model)
        except OllamaMCPError:
            # What the last host said tells more.
            return []
        return [one for one in found if one.config.name not in tried]

    async def _candidates(self, request: ApiRequest) -> Sequence[Member]:
        if request.model:
            return await self._fleet.candidates(request.model)
        # What concerns no model: in the order of the settings, those that are set aside last.
        await self._fleet.learn()
        return sorted(self._fleet.chosen_from, key=lambda one: one.queue.health.seconds_left)

    async def _send_to(self, member: Member, request: ApiRequest, *, is_last: bool) -> ApiResponse:
        health = member.queue.health
        health.begin_trial()
        session = session_of(member.client())
        try:
            # Another host is a better second attempt than the same one.
            response = await session.send(request if is_last else replace(request, attempts=1))
        except ApiError as error:
            if isinstance(error, ModelNotFound):
                member.invalidate(request.model or "")
            if isinstance(error, Busy) and error.status is None:
                # Its queue here refused it, so that nothing was learnt of the host.
                health.end_trial()
            elif request.path not in MODEL_PATHS:
                health.failed(error)
            raise
        except BaseException:
            health.end_trial()
            raise
        if request.path in _STREAMED:
            try:
                # Until the first bytes have come, nothing is lost by asking another host.
                await response.peek()
            except BaseException:
                await response.aclose()
                raise
        elif request.path not in MODEL_PATHS:
            health.end_trial()
        return response


def session_of(client: OllamaClient) -> HttpSession:
    """The session of a host's client."""
    return client._session  # pyright: ignore[reportPrivateUsage]  # hosts/ is the client's other half


def may_move(error: ApiError) -> Literal["", "once", "freely"]:
    """Whether a request that failed on one host may be sent to another."""
    if isinstance(error, Unreachable) and error.status is None:
        return "freely"
    if isinstance(error, ModelNotFound):
        return "freely"
    if isinstance(error, Busy):
        # Ollama's own words, or this server's queue; a gateway's 503 may have come after the request was passed on.
        return "freely" if error.detail or error.status in (None, 429) else "once"
    if error.status == 502 or (isinstance(error, Interrupted) and error.status is None and not error.partial):
        return "once"
    return ""
