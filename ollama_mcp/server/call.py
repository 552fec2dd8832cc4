"""What a tool gets beside its arguments: the context of the call, the client, and what the user agreed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, NeedsConfirmation, NotAllowed
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.work.call_context import CallContext

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.server.caller import Caller
    from ollama_mcp.server.confirmation import Action, Consent
    from ollama_mcp.server.jobs import JobManager
    from ollama_mcp.work.choosing import ModelChoice, Task


@dataclass(frozen=True, slots=True)
class Overwritable:
    """A name that a call may write.

    Args:
        name: The name.
        digest: Of the model that has the name, or "".
        is_own: Whether the name was free, or this process made that model.
    """

    name: str
    digest: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class Call(CallContext):
    """The context of a tool call.

    Args:
        consent: What the user agreed to, for tools that destroy.
        jobs: The work that goes on after its call.
        caller: The client that calls.
    """

    consent: Consent
    jobs: JobManager
    caller: Caller

    @property
    def tool(self) -> str:
        """Name of the tool that is called."""
        return self.consent.tool

    async def model(self, name: str, task: Task) -> ModelChoice:
        """The model to use where the call names none; see `ollama_mcp.work.choosing`."""
        from ollama_mcp.work.choosing import choose

        return await choose(self, name, task)

    def check_count(self, limit: str, given: Sequence[object], *, argument: str = "") -> None:
        """Hold a list argument to the limit of the settings.

        Raises:
            InvalidArgument: Names the limit.
        """
        most = getattr(self.settings.limits, limit)
        if len(given) > most:
            raise InvalidArgument(
                f"{argument or limit} has {len(given):,} items, at most {most:,} are taken.",
                next_step=f"Send fewer, or raise limits.{limit} in the settings.",
            )

    def check_registry(self, name: str, *, argument: str = "model", insecure: bool = False) -> None:
        """Refuse a name whose host the settings do not list: Ollama would connect to it from inside its network.

        Raises:
            NotAllowed: Names the setting.
        """
        host = parse_name(name, argument=argument).host.lower()
        policy = self.settings.policy
        if host not in (listed.lower() for listed in policy.registries):
            raise NotAllowed(
                f"{argument} {name[:80]!r} points to the registry {host[:80]!r}, which is not allowed.",
                next_step="The user can add it to policy.registries in the settings.",
            )
        if insecure and host not in (listed.lower() for listed in policy.insecure_registries):
            raise NotAllowed(
                f"insecure is not allowed for the registry {host!r}.",
                next_step="Leave it out; the user can list the registry in policy.insecure_registries.",
            )

    async def may_overwrite(self, name: str, *, confirmed: bool, content: str, by: str) -> Overwritable:
        """Let a call write a name: a free one, one that this process made, or one whose loss was confirmed.

        Args:
            name: The name.
            confirmed: The tool's `confirm` argument.
            content: Stands for what is to be written: a yes covers no other content.
            by: What would take its place, as words after "by".

        Raises:
            OllamaMCPError: As `confirm`, where the name is taken.
        """
        found = await self.hosts.find_model(name)
        if found is None:
            return Overwritable(name, "", is_own=True)
        if not (is_own := self.hosts.has_created(found)):
            await self.confirm(
                f"{found.name} exists ({found.digest[:12]}) and would be overwritten by {by}.",
                subject=f"{found.name} {found.digest} {content}",
                confirmed=confirmed,
                action="overwrite",
            )
        return Overwritable(name, found.digest, is_own=is_own)

    async def check_unchanged(self, target: Overwritable) -> None:
        """Check that what is to be overwritten is still what was agreed to; for work that takes long before it writes.

        Raises:
            NeedsConfirmation: Another model has the name now.
        """
        found = await self.hosts.find_model(target.name)
        digest = found.digest if found is not None else ""
        if digest and digest != target.digest:
            was = f"was {target.digest[:12]}" if target.digest else "was free"
            raise NeedsConfirmation(
                f"Nothing was created: {target.name} {was} when this call began, and is {digest[:12]} now.",
                next_step=f"If the user agrees to its loss, call {self.tool} again with the same arguments.",
            )

    async def record_written(self, target: Overwritable) -> ModelSummary | None:
        """Record that a name was written, and return what is there now, where the host tells.

        What took the place of a model of the user is not this process's to replace: the user agreed to that content,
        and to no other.
        """
        return await self.hosts.record_written(target.name, is_own=target.is_own)

    def check_policy(self, action: Action) -> None:
        """Refuse, before anything is asked or sent, what no answer of the user could allow in this call.

        Raises:
            NotAllowed: Names the setting.
        """
        self.consent.check(action)

    async def confirm(self, consequence: str, *, subject: str, confirmed: bool, action: Action) -> None:
        """Let a destroying step pass only after the user's yes; call it before anything is changed.

        Where the client can show a form, the tool is left here and run again from its beginning with the user's
        answer, so that it judges by what is there then; elsewhere the tool's `confirm` argument is the answer.

        Args:
            consequence: What would happen, a full sentence.
            subject: What is touched, exactly (name, digest, content): another subject is another question.
            confirmed: The tool's `confirm` argument.
            action: Its setting decides how consent is obtained.

        Raises:
            NeedsConfirmation: No form can be shown, and the question was not answered before.
            NotAllowed: The settings refuse it; names the setting.
        """
        # A yes is for one host.
        subject = f"{self.hosts.config.name} {subject}"
        self.consent.require(consequence, subject=subject, confirmed=confirmed, action=action)
