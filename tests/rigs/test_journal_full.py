"""The journal fills, its disk does, or it comes with a long backlog: what is let in is recorded, and it recovers."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from bill_checks import check, read_ledger
from gateway_nursery import nursery
from kill_load import KINDS, Seen, ask
from kill_rig import KilledGateway, chance, closed, gateways, held, metered_sandbox, sqlite_url, until
from sandbox_server import RunningSandbox

pytestmark = pytest.mark.rig

SOON_S = 60.0


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with metered_sandbox() as running:
        yield running


async def in_agreement(name: str, url: str, sandbox: RunningSandbox, seen: Seen) -> None:
    found = check(sandbox.sandbox.provider.bill.rows(), await read_ledger(url), seen.calls)
    print(f"{name}: {len(seen.ended)} answers, {len(seen.failed)} failures; {found}")
    assert found.rows


@contextmanager
def tiny_disk(directory: Path, size_kib: int) -> Iterator[bool]:
    """Mount a small file system, where that is allowed; else there is only a limit on files' sizes to be had."""
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


async def fill(gateway: KilledGateway, dice: random.Random, seen: Seen) -> None:
    """Ask until the gateway has no room for another row."""
    refused = asyncio.Event()

    async def caller(number: int) -> None:
        for turn in range(1_000):
            if refused.is_set():
                return
            call = await ask(gateway.port, f"fill-{number}-{turn}", {**KINDS[0](dice), "max_tokens": 1})
            seen.calls.append(call)
            if call.status == 503:
                assert call.code == "ledger_unavailable", call
                refused.set()

    async with asyncio.timeout(SOON_S), asyncio.TaskGroup() as callers:
        for number in range(16):
            callers.create_task(caller(number))
    assert refused.is_set()


async def filled_and_emptied(gateway: KilledGateway, url: str, sandbox: RunningSandbox) -> Seen:
    """Fill the journal while the database is held; then work is refused, recorded where it was in flight, and taken."""
    dice, seen = chance(52), Seen()
    # Runs for four seconds: it was let in while there was room, and ends when there is none.
    with held(url):
        in_flight = asyncio.create_task(ask(gateway.port, "in-flight", {**KINDS[-1](dice), "n": 8}))
        await asyncio.sleep(0.5)
        await fill(gateway, dice, seen)
        assert not in_flight.done(), "the journal was full too late for the rig"
        seen.calls.append(await in_flight)
        assert seen.calls[-1].ended, seen.calls[-1]
    let_in: list[bool] = []

    async def taken() -> bool:
        call = await ask(gateway.port, f"again-{len(let_in)}", KINDS[0](dice))
        seen.calls.append(call)
        let_in.append(call.status == 200)
        return let_in[-1]

    took_s = await until(taken, "new work is taken again", SOON_S)
    print(f"full after {len(seen.ended)} requests; taken again {took_s:.1f} s after the database was back")
    await closed(gateway, [], sandbox)
    return seen


async def test_a_full_disk_refuses_new_work_and_records_what_is_in_flight(
    sandbox: RunningSandbox, memory_path: Path
) -> None:
    url = sqlite_url(memory_path)
    with tiny_disk(memory_path / "disk", 256):
        async with nursery() as children:
            [gateway] = gateways(children, memory_path, sandbox, url)
            gateway.journals = memory_path / "disk" / "kept.journal"
            gateway.segment_bytes = 32 << 10
            await gateway.started()
            seen = await filled_and_emptied(gateway, url, sandbox)
    assert {call.status for call in seen.calls} == {200, 503}
    assert gateway.logged("journal_reserve_failed")
    assert gateway.logged("journal_reserve_back")
    await in_agreement("disk full", url, sandbox, seen)


async def test_a_full_journal_refuses_new_work_and_records_what_is_in_flight(
    sandbox: RunningSandbox, memory_path: Path
) -> None:
    url = sqlite_url(memory_path)
    small = {"gateway.ledger.journal:_MIB": 4 << 10}  # so that the smallest limit, of 64 MiB, is 256 KiB
    async with nursery() as children:
        [gateway] = gateways(children, memory_path, sandbox, url, ledger={"journal_mib": 64}, constants=small)
        await gateway.started()
        seen = await filled_and_emptied(gateway, url, sandbox)
    assert {call.status for call in seen.calls} == {200, 503}
    await in_agreement("journal full", url, sandbox, seen)


async def test_a_backlog_of_a_hundred_thousand_rows_keeps_nobody_waiting(
    sandbox: RunningSandbox, memory_path: Path
) -> None:
    url = sqlite_url(memory_path)
    async with nursery() as children:
        [gateway] = gateways(children, memory_path, sandbox, url)
        await gateway.started()
        await gateway.stopped()
        count = 100_000
        await made_backlog(gateway, count)
        began = time.monotonic()
        await gateway.started()
        ready_s = time.monotonic() - began
        call = await ask(gateway.port, "beside", KINDS[0](random.Random(1)))
        assert call.ended
        await until(lambda: gateway.logged("journal_adopted"), "the backlog is in the database", 2 * SOON_S)
        drained_s = time.monotonic() - began
        await gateway.stopped()
    print(f"backlog of {count}: ready {ready_s:.1f} s, drained {drained_s:.1f} s after the start")
    assert len((await read_ledger(url)).rows) == count + 1


async def made_backlog(gateway: KilledGateway, count: int) -> None:
    """Have a process write so many attempts to a journal of its own, and die."""
    program = Path(__file__).with_name("backlog_writer.py")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(gateway.journals), gateway.database_url, str(count), env=environ
    )
    try:
        async with asyncio.timeout(2 * SOON_S):
            assert await process.wait() == -signal.SIGKILL
    finally:
        with suppress(ProcessLookupError):
            process.kill()
