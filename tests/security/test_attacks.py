"""The table of attacks: each has tests that exist, are collected and not skipped everywhere."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.security.attack import Attack
from tests.security.attacks import ATTACKS
from tests.transports.wire import ROOT


@cache
def _collected(file: str) -> dict[str, list[str]]:
    """The tests of a file as pytest finds them, by name, with their decorators."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: list(map(ast.unparse, node.decorator_list)) for node in functions}


def test_every_number_has_its_row() -> None:
    numbers = [f"A{number:02}" for number in range(1, 66)] + [f"B{number:02}" for number in range(1, 34)]
    assert [attack.id for attack in ATTACKS] == numbers


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_what_holds_an_attack_is_there_and_runs(attack: Attack, request: pytest.FixtureRequest) -> None:
    assert attack.tests and len({*attack.tests}) == len(attack.tests)
    ids = {item.nodeid.partition("[")[0] for item in request.session.items}
    files = {one.partition("::")[0] for one in ids}
    for test in attack.tests:
        file, _, name = test.partition("::")
        decorators = _collected(file).get(name)
        assert decorators is not None, test
        assert not [one for one in decorators if one.startswith(("pytest.mark.skip(", "pytest.mark.xfail"))], test
        # Where the whole file is collected in this run, as in `make test`; one that was named alone is not.
        slow = [one for one in decorators if one.startswith("pytest.mark.slow")]
        if file in files and not slow and not request.config.getoption("keyword") and _is_whole(request, file):
            assert test in ids, test


def _is_whole(request: pytest.FixtureRequest, file: str) -> bool:
    return not [one for one in request.config.args if "::" in one and one.startswith(file)]
