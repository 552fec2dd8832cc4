"""Opening files as the rest of the project does, and catching the refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from ollama_mcp.access import AccessRules, Purpose, open_file
from ollama_mcp.errors import OllamaMCPError
from tests.access.conftest import CANARY


def content(text: str | Path, rules: AccessRules, purpose: Purpose = Purpose.IMAGE) -> str:
    with open_file(str(text), purpose, rules) as file:
        return file.read(1000, setting="images.max_bytes").decode()


def refusal(text: str | Path, rules: AccessRules, purpose: Purpose = Purpose.IMAGE) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught:
        content(text, rules, purpose)
    assert CANARY not in str(caught.value)
    assert len(str(caught.value)) <= 400
    return caught.value
