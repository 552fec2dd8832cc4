"""What one check of `doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """A check that was made.

    Args:
        name: What was looked at, such as "tcp".
        found: What was found there, on one line.
        verdict: What that means.
        fix: What the user can do; empty where nothing needs doing.
    """

    name: str
    found: str
    verdict: Verdict = "ok"
    fix: str = ""


def exit_code(checks: list[Check]) -> int:
    """0 where all is well, 1 with warnings, 2 where something is broken."""
    verdicts = {check.verdict for check in checks}
    return 2 if "broken" in verdicts else 1 if "warning" in verdicts else 0
