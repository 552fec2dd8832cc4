"""docs/attacks.md, from the tables of the tests."""

from __future__ import annotations

from tests.security.attacks import ATTACKS

_HEAD = """# Attacks

What was tried against this server, and the tests that run it. Those by files and arguments run against the server as a
process, over stdio and over HTTP, with secrets in its home, a listener that must see nobody, and a simulated Ollama.
A01 to A65 come from published vulnerabilities and from how such servers were broken, B01 to B33 are our own. The page
is generated from the tables in `tests/security/`.
"""


def attacks_page() -> str:
    """docs/attacks.md."""
    rows = ["| attack | what is tried, and what must come of it | tests below `tests/` |", "|---|---|---|"]
    for attack in ATTACKS:
        tests = "; ".join(f"`{one.removeprefix('tests/').replace('::test_', ': ')}`" for one in attack.tests)
        what = attack.attack + (f" (not run here: {attack.left})" if attack.left else "")
        rows.append(f"| {attack.id} | {what} | {tests} |")
    return "\n".join([_HEAD, *rows, ""])
