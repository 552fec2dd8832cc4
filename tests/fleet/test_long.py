"""Each fault in the middle of 20,000 rows, and all of them in turn in 200,000: none lost, none doubled, the same file.

FLEET_ROWS and FLEET_ALL_ROWS shorten them. Each prints what it measured. A worker is lost
after as many seconds as users have it.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fleet.crowd import LANES, Crowd, crowd, write_alone, write_input
from tests.fleet.postgres import Postgres, postgres
from tests.support import until

ROWS = int(os.environ.get("FLEET_ROWS", "20000"))
ALL_ROWS = int(os.environ.get("FLEET_ALL_ROWS", "200000"))
# So many rows of a dead worker may be asked again: those at a host, and those that were being written.
ASKED_TWICE = LANES + 2 * 64
# That a worker works on at a time.
RANGES = 2
# Beyond the seconds after which a worker counts as lost.
SWEEP_SECONDS = 2.0
AWAY_SECONDS, STOPPED_SECONDS = 46.0, 30.0
NO_LONGER = "no longer this worker's"

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]
Fault = Callable[[Crowd], Awaitable[None]]


async def worker_killed(fleet: Crowd) -> None:
    """One of the workers ends without a word; another takes its place later."""
    before, begin = fleet.lost(), time.monotonic()
    await fleet.living[0].kill()
    fleet.deaths += 1
    fleet.figures["worker_killed"] = taken = await fleet.until_taken_over(before, begin)
    assert taken <= fleet.lost_seconds + SWEEP_SECONDS
    await fleet.add_worker()


async def all_workers_killed(fleet: Crowd) -> None:
    """Nobody is left; others come."""
    before, begin, living = fleet.lost(), time.monotonic(), fleet.living
    await asyncio.gather(*(one.kill() for one in living))
    fleet.deaths += len(living)
    await asyncio.gather(*(fleet.add_worker() for _ in living))
    started = time.monotonic() - begin
    fleet.figures["all_workers_killed"] = taken = await fleet.until_taken_over(before, begin)
    assert taken <= max(started, fleet.lost_seconds) + SWEEP_SECONDS


async def home_killed(fleet: Crowd) -> None:
    """The replica that gives the rows out ends; its job goes on at another."""
    home, begin = await fleet.home(), time.monotonic()
    assert home is not None
    await home.kill()
    async with asyncio.timeout(120):
        while await fleet.home() in (None, home):
            # Whoever asks for it has it go on.
            await fleet.state()
    fleet.figures["home_killed"] = time.monotonic() - begin


async def host_killed(fleet: Crowd) -> None:
    """A host ends, with what it was asked, and comes back later."""
    await fleet.hosts[0].kill()
    # What was under way there is asked of the others, by each worker.
    fleet.deaths += len(fleet.living)
    fleet.figures["host_killed"] = await fleet.until_more(200)
    await fleet.hosts[0].start()


async def database_restarted(fleet: Crowd) -> None:
    """PostgreSQL ends as in a crash, and starts again."""
    await asyncio.to_thread(fleet.postgres.stop, "immediate")
    await asyncio.to_thread(fleet.postgres.start)
    fleet.figures["database_restarted"] = await fleet.until_more()


async def database_away(fleet: Crowd) -> None:
    """PostgreSQL is away for longer than connections, pools and leases wait."""
    await asyncio.to_thread(fleet.postgres.stop, "immediate")
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(fleet.postgres.start)
    fleet.figures["database_away"] = await fleet.until_more()


async def worker_stopped(fleet: Crowd) -> None:
    """A worker sleeps for longer than it may, and wakes to find that its ranges are another's."""
    one, before, begin = fleet.living[0], fleet.lost(), time.monotonic()
    one.signal(signal.SIGSTOP)
    fleet.deaths += 1
    fleet.figures["worker_stopped"] = taken = await fleet.until_taken_over(before, begin)
    assert taken <= fleet.lost_seconds + SWEEP_SECONDS
    await asyncio.sleep(max(0.0, begin + STOPPED_SECONDS - time.monotonic()))
    one.signal(signal.SIGCONT)
    await until(lambda: any(NO_LONGER in line for line in one.said), 120)


FAULTS: tuple[Fault, ...] = (
    worker_killed,
    all_workers_killed,
    home_killed,
    host_killed,
    database_restarted,
    database_away,
    worker_stopped,
)


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    """A server of our own, which is stopped while others' tests would need theirs."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the inputs lie, and what one process alone wrote."""
    return tmp_path_factory.mktemp("alone")


async def alone(folder: Path, rows: int) -> Path:
    """What one process writes, made once."""
    found = folder / f"alone-{rows}.jsonl"
    return found if found.exists() else await write_alone(folder, rows)


@asynccontextmanager
async def at_work(
    tmp_path: Path, server: Postgres, folder: Path, rows: int, *, pooled: bool = False
) -> AsyncGenerator[Crowd]:
    """A fleet at work on a batch; at the end of the block the batch ends, and its file is that of one process."""
    expected, given, output = await alone(folder, rows), write_input(folder, rows), tmp_path / "results/ann/out.jsonl"
    begin = time.monotonic()
    async with crowd(tmp_path, server, pooled=pooled, inputs=folder) as fleet:
        await fleet.begin(given, output.name)
        yield fleet
        found = await fleet.ended()
        twice = fleet.asked() - rows
        figures = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in fleet.figures.items())
        took = time.monotonic() - begin
        sys.stdout.write(
            f"\n{rows:,} rows in {took:.0f} s; asked twice {twice}, deaths {fleet.deaths}, "
            f"ranges taken over {fleet.lost()}; {figures}\n"
        )
        assert (found["done"], found["failed"]) == (rows, 0)
        assert output.read_bytes() == expected.read_bytes()
        # On a machine that has no time for them the living may be taken for dead, which costs as much.
        assert 0 <= twice <= max(fleet.deaths, math.ceil(fleet.lost() / RANGES)) * ASKED_TWICE
        assert not fleet.said()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_loses_and_doubles_no_row(fault: Fault, tmp_path: Path, server: Postgres, folder: Path) -> None:
    async with at_work(tmp_path, server, folder, ROWS) as fleet:
        await fleet.until_kept(ROWS // 4)
        await fault(fleet)


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
async def test_all_faults_in_turn(pooled: bool, tmp_path: Path, server: Postgres, folder: Path) -> None:
    async with at_work(tmp_path, server, folder, ALL_ROWS, pooled=pooled) as fleet:
        for number, fault in enumerate(FAULTS, start=1):
            await fleet.until_kept(number * ALL_ROWS // (len(FAULTS) + 2))
            await fault(fleet)
