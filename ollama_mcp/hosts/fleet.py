"""Several hosts as one pool: what each has, which of them a call's requests go to, and their lists merged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import (
    ApiError,
    Interrupted,
    InvalidArgument,
    ModelNotFound,
    NotAllowed,
    Unreachable,
)
from ollama_mcp.formats.host_url import is_ollama_com
from ollama_mcp.formats.model_names import model_key, parse_name
from ollama_mcp.hosts.call_scope import current_call
from ollama_mcp.hosts.choice import DEFAULT_REQUEST_SECONDS, Outlook, choose, estimated_load
from ollama_mcp.hosts.config import HostConfig
from ollama_mcp.hosts.member import Member
from ollama_mcp.hosts.pool import HostPool
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, visible
from ollama_mcp.settings.hosts import AUTO

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary, OllamaClient, RunningModel
    from ollama_mcp.settings import Settings

# What a host has is asked again after this long, beside the calls; a call waits only for what was never known.
FRESH_SECONDS = 2.0
_TRIAL_SECONDS = 1.0
# A wall clock that runs away from the monotonic one by so much: this machine slept.
_SLEPT_SECONDS = 30.0


class Fleet(HostPool):
    """All hosts of the settings; requests go to the one that is expected to finish them first.

    A host at ollama.com is used only by its name.
    """

    def __init__(self, settings: Settings, configs: Sequence[HostConfig], *, api_key: str, cloud_url: str) -> None:
        super().__init__(settings, api_key=api_key, cloud_url=cloud_url, host=configs[0])
        keys: Any = {"api_key": api_key, "cloud_url": cloud_url, "named": self.named, "forget": self.forget}
        self._members = [Member(settings, one, **keys) for one in configs]
        self.for_auto = [one for one in self._members if not is_ollama_com(one.url)] or self._members
        self.url = ", ".join(one.url for one in self.for_auto)
        self._told: set[tuple[str, ...]] = set()
        self._clock_gap = time.time() - time.monotonic()

    @property
    def members(self) -> Sequence[Member]:
        """A pool of one for each host that whoever asks may use."""
        return _reachable(self._members)

    @property
    def chosen_from(self) -> Sequence[Member]:
        """The hosts that `auto` chooses from for whoever asks.

        Raises:
            NotAllowed: There is none.
        """
        found = _reachable(self.for_auto)
        if not found:
            raise NotAllowed("None of the hosts may be used.", next_step="Who runs this server can allow one.")
        return found

    def named(self, name: str) -> HostPool:
        """The pool for calls that name a host; this one for `auto`.

        Raises:
            InvalidArgument: There is no such host.
        """
        if name == AUTO:
            return self
        found = next((one for one in self.members if one.config.name == name), None)
        if found is None:
            names = ", ".join(one.config.name for one in self.members)
            raise InvalidArgument(f"There is no host {name[:80]!r}.", next_step=f"Hosts: {names}, or auto.")
        return found

    def forget(self, model: str) -> None:
        """Drop what is cached of a model that was changed on a host."""
        super().invalidate(model)

    async def learn(self, *, wait: bool = False, all_hosts: bool = False) -> None:
        """Ask the hosts for what they have, where that is not known or not fresh.

        Args:
            wait: Whether to ask all of them now and wait, and not only for those that never answered.
            all_hosts: Whether to ask those that are set aside too.
        """
        self._notice_sleep()
        now = time.monotonic()
        age = 0.0 if wait else FRESH_SECONDS
        due = [one for one in self.chosen_from if one.inventory is None or now - one.inventory.at > age]
        checks = [(one, one.check()) for one in due if all_hosts or one.queue.health.may_be_tried]
        if due and not checks and all(one.queue.health.set_aside for one in self.chosen_from):
            # The last is never set aside: the one that would be back first is asked.
            one = min(due, key=lambda one: one.queue.health.seconds_left)
            checks = [(one, one.check())]
        awaited = [(one, check) for one, check in checks if wait or one.inventory is None]
        trials = [check for one, check in awaited if one.queue.health.set_aside and not all_hosts]
        if usual := [check for _, check in awaited if check not in trials]:
            await asyncio.wait(usual)
        if trials:
            # Nobody waits long for a host that said nothing last time, unless there is no other.
            await asyncio.wait(trials, timeout=_TRIAL_SECONDS if usual else None)

    async def candidates(self, model: str) -> list[Member]:
        """The hosts that have the model, as the call first met it, and may run it.

        Raises:
            ModelNotFound: None has it.
            NotAllowed: Those that have it may not run it.
            Unreachable: None answers.
        """
        await self.learn()
        having = self._having(model)
        if not having:
            await self.learn(wait=True)
            having = self._having(model)
        if not having:
            raise self._missing(model)
        allowed = [one for one, found in having if one.config.may_run(model, found.size)]
        if not allowed:
            names = ", ".join(one.config.name for one, _ in having)
            raise NotAllowed(
                f"The limits of the hosts that have {model} keep it from running there ({names}).",
                next_step="Use another model; the user can change `hosts` in the settings.",
            )
        digest = self.reference(model, allowed)
        found = [one for one in allowed if (summary := one.summary(model)) is not None and summary.digest == digest]
        if not found:
            raise Interrupted(
                f"{model} was replaced on its hosts while this call used it ({digest[:12]} is gone).",
                host=self.url,
                model=model,
                next_step="Make the call again.",
            )
        return found

    def pick(self, model: str, members: Sequence[Member]) -> Member:
        """The member to use, of those that are not set aside; where all are, the one that is back first."""
        usable = [one for one in members if one.queue.health.may_be_tried]
        if not usable:
            return min(members, key=lambda one: one.queue.health.seconds_left)
        roomy = [one for one in usable if not one.queue.is_full(parse_name(model).key)] or usable
        return roomy[choose([self.outlook(one, model) for one in roomy])]

    def outlook(self, member: Member, model: str) -> Outlook:
        """What a request of the model may expect of a member."""
        queue, key = member.queue, parse_name(model).key
        ahead = queue.ahead()
        backlog = sum(self._request_seconds(member, other) * count for other, count in ahead.items())
        load = 0.0
        if not member.is_loaded(model) and key not in ahead:
            found = member.summary(model)
            load = queue.times.load_seconds(key) or estimated_load(found.size if found is not None else 0)
        return Outlook(backlog / max(1, member.config.requests), self._request_seconds(member, key), load)

    def reference(self, model: str, members: Sequence[Member]) -> str:
        """The digest that this call means by a name: what it first met, else what most hosts have."""
        scope, key = current_call(), parse_name(model).key
        found = [(one, summary) for one in members if (summary := one.summary(model)) is not None]
        if key not in scope.digests and found:
            working = [summary.digest for one, summary in found if not one.queue.health.set_aside]
            # Of equally many, the first in the order of the settings.
            scope.digests[key] = Counter(working or [summary.digest for _, summary in found]).most_common(1)[0][0]
            self._tell_difference(model, found, scope.digests[key])
        return scope.digests.get(key, "")

    def _tell_difference(self, model: str, found: Sequence[tuple[Member, ModelSummary]], digest: str) -> None:
        """Say once in this process that a name stands for different models."""
        if text := difference(model, found, digest):
            told = (model, *sorted({f"{one.config.name} {summary.digest}" for one, summary in found}))
            if told not in self._told:
                self._told.add(told)
                current_call().notes.append(text)

    def differences(self) -> list[str]:
        """What the hosts have under the same name that is not the same."""
        models = {key: model.name for one in self.chosen_from for key, model in self._models(one).items()}
        texts: list[str] = []
        for name in models.values():
            found = self._having(name)
            digest = Counter(summary.digest for _, summary in found).most_common(1)[0][0]
            texts += [text] if (text := difference(name, found, digest)) else []
        return texts

    def hosts_of(self, model: ModelSummary) -> list[str]:
        """The names of the hosts that have the model."""
        return [one.config.name for one, found in self._having(model.name) if found.digest == model.digest]

    async def installed_anywhere(self) -> list[ModelSummary]:
        """The models of all hosts, each name once.

        Raises:
            Unreachable: No host answers.
        """
        await self.learn(wait=True)
        if not any(self._is_known(one) for one in self.chosen_from):
            raise self._unreachable()
        found: dict[str, ModelSummary] = {}
        used = set(current_call().digests)
        for one in self.chosen_from:
            for key, model in self._models(one).items():
                # What only a host has that is gone cannot be used; what the call uses already is still what it means.
                if (self._is_known(one) or key in used) and (key not in found or model.digest == self._meant(key)):
                    found[key] = model
        return visible(list(found.values()))

    async def loaded_anywhere(self) -> list[RunningModel]:
        """The models in memory, each name once: where the contexts differ, with the smallest, which all of them hold.

        Raises:
            Unreachable: No host answers.
        """
        await self.learn(wait=True)
        if not any(self._is_known(one) for one in self.chosen_from):
            raise self._unreachable()
        found: dict[str, RunningModel] = {}
        for one in self.chosen_from:
            for key, model in one.inventory.running.items() if self._is_known(one) and one.inventory else ():
                other = found.get(key)
                if other is None or (model.context_length or 0) < (other.context_length or 0):
                    found[key] = model
        return visible(list(found.values()))

    def known_digest(self, model: str) -> str:
        """The digest that this call means by a name; "" where no host was seen to have it."""
        key = model_key(model)
        having = (found.digest for one in self.chosen_from if (found := self._models(one).get(key)) is not None)
        return current_call().digests.get(key) or next(having, "")

    async def unload(self, model: str) -> None:
        """Unload a model wherever it is loaded."""
        await self.learn(wait=True)
        loaded = [one for one in self.chosen_from if one.is_loaded(model)]
        await asyncio.gather(*(one.unload(model) for one in loaded))

    async def ready(self) -> bool:
        """Whether any host answers."""
        return any(await asyncio.gather(*(one.ready() for one in self._members)))

    async def aclose(self) -> None:
        """Close all connections."""
        await asyncio.gather(super().aclose(), *(one.aclose() for one in self._members))

    def _connect(self) -> OllamaClient:
        from ollama_mcp.hosts.fleet_client import open_fleet_client

        return open_fleet_client(self, self._timeouts())

    def _meant(self, key: str) -> str:
        having = [(one, found) for one in self.chosen_from if (found := self._models(one).get(key)) is not None]
        model = having[0][1].name
        return self.reference(
            model, [one for one, found in having if one.config.may_run(model, found.size)] or [one for one, _ in having]
        )

    def _having(self, model: str) -> list[tuple[Member, ModelSummary]]:
        return [(one, found) for one in self.chosen_from if (found := one.summary(model)) is not None]

    def _models(self, member: Member) -> Mapping[str, ModelSummary]:
        return member.inventory.models if member.inventory is not None else {}

    def _is_known(self, member: Member) -> bool:
        """Whether a member answered, and is not known to be gone since."""
        return member.answers and not member.queue.health.is_gone

    def _request_seconds(self, member: Member, key: str) -> float:
        """Seconds of work for a request: measured there, else elsewhere in proportion to the weights, else a guess."""
        if (known := member.queue.request_seconds(key)) is not None:
            return known
        others = [
            seconds * one.config.weight
            for one in self.chosen_from
            if (seconds := one.queue.request_seconds(key)) is not None
        ]
        usual = sum(others) / len(others) if others else DEFAULT_REQUEST_SECONDS
        return usual / member.config.weight

    def _notice_sleep(self) -> None:
        gap = time.time() - time.monotonic()
        if abs(gap - self._clock_gap) > _SLEPT_SECONDS:
            self._clock_gap = gap
            for one in self._members:
                one.queue.health.expire()

    def _missing(self, model: str) -> ApiError:
        silent = [one.config.name for one in self.chosen_from if not self._is_known(one)]
        if len(silent) == len(self.chosen_from):
            return self._unreachable()
        names = ", ".join(one.config.name for one in self.chosen_from if one.config.name not in silent)
        gone = f" {', '.join(silent)} did not answer." if silent else ""
        return ModelNotFound(f"No host has the model {model!r} ({names}).{gone}", host=self.url, model=model)

    def _unreachable(self) -> ApiError:
        said = next((one.queue.health.last_error for one in self.chosen_from if one.queue.health.last_error), "")
        names = ", ".join(one.config.name for one in self.chosen_from)
        return Unreachable(
            f"None of the hosts {names} can be used: {said}".rstrip(": "), host=self.url, next_step="Start one of them."
        )


def _reachable(members: Sequence[Member]) -> Sequence[Member]:
    principal = CURRENT_PRINCIPAL.get()
    if principal is None:
        return members
    return [one for one in members if principal.may_reach(one.config.name)]


def difference(model: str, found: Collection[tuple[Member, ModelSummary]], digest: str) -> str:
    """What to say of a name that does not stand for the same model everywhere; "" where it does."""
    other = [one.config.name for one, summary in found if summary.digest != digest]
    if other:
        return f"{model} on {', '.join(other)} is another model (digest); `auto` uses {digest[:12]}."
    able = {tuple(sorted(summary.capabilities)) for _, summary in found if summary.capabilities is not None}
    return f"{model} has not the same capabilities on all hosts." if len(able) > 1 else ""
