"""Copying and deleting installed models."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import DESTROYS, Call, Data, tool
from ollama_mcp.server.text import size
from ollama_mcp.server.types import Confirm, ModelName


class Done(Data):
    """What was done, in one sentence."""

    done: str

    def as_text(self) -> str:
        return self.done


@tool(title="Copy a model", toolset="models", hints=DESTROYS)
async def ollama_copy_model(
    call: Call,
    source: ModelName,
    destination: Annotated[str, Field(description="The new name.")],
    confirm: Confirm = False,
) -> Done:
    """Give an installed model a second name; no disk space is used. Overwriting an existing name is confirmed first."""
    call.check_registry(destination, argument="destination")
    await call.may_overwrite(destination, confirmed=confirm, source=source)
    await call.client.copy(source, destination)
    call.hosts.made(destination)
    return Done(done=f"{destination} is now a copy of {source}.")


@tool(title="Delete a model", toolset="models", hints=DESTROYS)
async def ollama_delete_model(call: Call, model: ModelName, confirm: Confirm = False) -> Done:
    """Delete an installed model from disk; only a new download brings it back. The user is asked; without a form,
    the first call answers what would be deleted and confirm=true then does it.
    """
    call.check_policy("delete")
    found = await call.hosts.find(model)
    if found is not None:
        await call.confirm(
            f"This deletes {found.name} ({size(found.size)}, {found.digest[:12]}) from {call.client.base_url}.",
            subject=f"{found.name} {found.digest}",
            confirmed=confirm,
            action="delete",
        )
    await call.client.delete(model)
    call.hosts.forget(model)
    return Done(done=f"{model} was deleted.")
