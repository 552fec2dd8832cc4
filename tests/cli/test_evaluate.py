"""`evaluate` is a call of ollama_evaluate from the shell: the verdict on stdout, an error on stderr."""

from __future__ import annotations

import json
from pathlib import Path

from ollama_mcp.simulator import Simulator
from tests.cli.support import Ran, run
from tests.work.evaluate.evaluating import LARGE, SMALL, tickets


def written(folder: Path, count: int = 80) -> Path:
    path = folder / "examples.csv"
    path.write_text(
        "text,expected\n" + "".join(f"{one['text']},{one['expected']}\n" for one in tickets(count)), encoding="utf-8"
    )
    return path


async def evaluated(simulator: Simulator, *arguments: str) -> Ran:
    simulator.set_accuracy(SMALL, 0.4)
    simulator.set_accuracy(LARGE, 1.0)
    return await run("evaluate", *arguments, OLLAMA_HOST=simulator.url)


async def test_the_verdict_comes_first_and_json_is_for_programs(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    question = ("--question", "Which team?", "--labels", "billing,tech")
    async with Simulator(models=[SMALL, LARGE]) as simulator:
        ran = await evaluated(simulator, path, *question, "--quiet")
        assert ran.code == 0, ran.err
        assert ran.out.startswith(f"Smallest model that reaches 90 % here: {LARGE}, ") and ran.out.count("\n") == 1
        ran = await evaluated(simulator, path, *question, "-m", SMALL, "--goal", "0.6", "--json")
    report = json.loads(ran.out)
    assert [row["model"] for row in report["models"]] == [SMALL]
    assert "60 %" in report["verdict"]


async def test_what_is_wrong_goes_to_stderr(tmp_path: Path) -> None:
    async with Simulator(models=[SMALL, LARGE]) as simulator:
        ran = await evaluated(simulator, str(written(tmp_path)), "--prompt", "{text} {expected}")
        assert (ran.code, ran.out) == (1, "") and "[invalid_argument] prompt names {expected}" in ran.err
        ran = await evaluated(simulator, str(written(tmp_path)), "--labels", "a,b")
        assert (ran.code, ran.out) == (2, "") and "--labels needs --question" in ran.err
