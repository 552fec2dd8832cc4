"""An attack and the tests that hold it; the rows are in `attacks_by_arguments.py`,
`attacks_on_clients.py` and `attacks_on_fleets.py`.

A01 to A65 are taken from published vulnerabilities and from how such servers were broken; B01 to B33 chain allowed
steps, or attack what keeps principals and networks apart. docs/attacks.md is generated from them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        id: Its number.
        attack: What is tried, and what must come of it.
        tests: The tests that hold it: a file below tests/ and the name of a function.
        left: What of it no test here runs, and why.
    """

    id: str
    attack: str
    tests: tuple[str, ...]
    left: str = ""


def tests_in(file: str, *names: str) -> tuple[str, ...]:
    """The ids of tests in a file below tests/, by their names without `test_`."""
    return tuple(f"tests/{file}::test_{name}" for name in names)
