"""What a model can do, as each generation finds it out."""

from __future__ import annotations

import re

from ollama_mcp.simulator.generations import Generation
from ollama_mcp.simulator.store import DEFAULT_TEMPLATE, Model


def chat_template(model: Model) -> str:
    """The chat template inside the GGUF, "" if it has none."""
    return str(model.header.metadata.get("tokenizer.chat_template", ""))


def is_native(model: Model, generation: Generation) -> bool:
    """Whether llama-server renders the chat by the GGUF's own template instead of Ollama by a Go template."""
    return generation.native_templates and not go_template(model)


def go_template(model: Model) -> str:
    """The Go template given at creation; the default one counts as none."""
    return "" if model.template == DEFAULT_TEMPLATE else model.template


def template_fault(template: str) -> str:
    """What Go's parser says of a template that does not parse, "" for one that does; as far as braces tell."""
    return "" if template.count("{{") == template.count("}}") else "template: :1: unclosed action"


def capabilities(model: Model, generation: Generation, *, listing: bool = False) -> list[str]:
    """The capabilities of a model; a listing does not look into the GGUF's chat template."""
    # Cards and creations say what they can; only a bare file has to be looked into.
    if model.declared:
        return _known(model.declared, generation)
    if model.header.number("pooling_type") or f"{model.family}.pooling_type" in model.header.metadata:
        return ["embedding"]
    found: list[str] = []
    template, native = go_template(model), chat_template(model)
    # A Go template hides the one inside the file; listings never open the file at all.
    if not template and generation.native_templates and not listing:
        if re.search(r"tools|tool_call", native):
            found.append("tools")
        if "<think>" in native and "</think>" in native:
            found.append("thinking")
    if ".Tools" in template:
        found.append("tools")
    if ".Thinking" in template:
        found.append("thinking")
    if ".Suffix" in template:
        found.append("insert")
    if model.header.number("vision.block_count"):
        found.append("vision")
    return [*_known(tuple(found), generation), "completion"]


def _known(names: tuple[str, ...], generation: Generation) -> list[str]:
    hidden = set[str]()
    if not generation.has_thinking:
        hidden.add("thinking")
    if not generation.hears:
        hidden.add("audio")
    if not generation.decides:
        hidden.add("decision")
    return [name for name in names if name not in hidden]
