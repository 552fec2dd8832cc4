"""What may go to a model that runs on ollama.com: one check for all work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ollama_mcp.errors import NotAllowed
from ollama_mcp.formats.host_url import is_ollama_com
from ollama_mcp.formats.model_names import parse_name

if TYPE_CHECKING:
    from ollama_mcp.work.call_context import CallContext

CloudSetting = Literal["cloud_files", "cloud_images", "cloud_batch"]

_WHAT: dict[CloudSetting, str] = {
    "cloud_files": "files are not",
    "cloud_images": "neither images nor sounds are",
    "cloud_batch": "batches are not",
}


async def runs_in_cloud(call: CallContext, model: str) -> bool:
    """Whether a model runs on ollama.com: the host is it, the name says so, or the card of a name like any other does.

    Raises:
        OllamaMCPError: The card cannot be had, so that nobody knows.
    """
    if parse_name(model).is_cloud or is_ollama_com(call.client.base_url):
        return True
    # Not what an earlier call learnt: the name may have become a cloud model's since.
    return bool((await call.hosts.card(model, since=call.started)).remote_host)


async def check_cloud_policy(call: CallContext, model: str, *settings: CloudSetting) -> None:
    """Refuse to send ollama.com what the settings do not allow.

    Args:
        call: The context of the call.
        model: The model that is to get it.
        settings: The settings of `policy` that have to allow it, all of them.

    Raises:
        NotAllowed: Names the first that does not.
        OllamaMCPError: Where the model runs cannot be known.
    """
    policy = call.settings.policy
    denied: CloudSetting | None = next((name for name in settings if getattr(policy, name) == "deny"), None)
    if denied is None or not await runs_in_cloud(call, model):
        return
    raise NotAllowed(
        f"{model} runs on ollama.com, and {_WHAT[denied]} sent there.",
        next_step=f"Use a local model, or the user sets policy.{denied} to 'allow'.",
    )
