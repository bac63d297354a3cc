"""Negative controls: with the sync, the conflict rule, the replay or the checkpoint left out, a rig must fail.

Each control is a short rig that passes as the gateway is, and the same rig with one thing left out, which must not.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from bill_checks import check, nothing_refused, read_ledger
from gateway_nursery import Nursery, nursery
from kill_load import KINDS, Seen, ask, long_stream_body
from kill_rig import KilledGateway, all_taken_up, chance, gateways, held, metered_sandbox, sqlite_url, until
from mutants import cut_power
from sandbox_server import RunningSandbox

pytestmark = pytest.mark.rig

SOON_S = 30.0
AS_IT_IS = "as it is"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with metered_sandbox() as running:
        yield running


def must_fail(mutant: str, why: str) -> Any:
    """Expect the rig to hold for the gateway as it is, and to fail by its own words for a mutant."""
    return nullcontext() if mutant == AS_IT_IS else pytest.raises(AssertionError, match=why)


def leaving_out(mutant: str) -> dict[str, Any]:
    return {} if mutant == AS_IT_IS else {"mutants": [mutant]}


async def some_answers(gateway: KilledGateway, count: int, dice: random.Random, name: str) -> Seen:
    """Ask at the same time, and wait for all answers."""
    seen = Seen()
    bodies = [KINDS[number % 3](dice) for number in range(count)]
    calls = [ask(gateway.port, f"{name}-{number}", {**body, "max_tokens": 4}) for number, body in enumerate(bodies)]
    seen.calls += await asyncio.gather(*calls)
    assert seen.failed == []
    return seen


async def taken_up_at_once(gateway: KilledGateway, **rig: Any) -> None:
    """Start it once more, wait until nothing dead is left, and stop it."""
    await gateway.started(**rig)
    await all_taken_up(gateway)
    await gateway.stopped()


async def alone(children: Nursery, memory_path: Path, sandbox: RunningSandbox, **ledger: Any) -> KilledGateway:
    [gateway] = gateways(children, memory_path, sandbox, sqlite_url(memory_path), ledger=ledger)
    # Its database is made first: a control is about the journal.
    await gateway.started()
    await gateway.stopped()
    return gateway


def bill_since(sandbox: RunningSandbox, start: int) -> list[Any]:
    return list(sandbox.sandbox.provider.bill.rows(start))


@pytest.mark.parametrize("mutant", [AS_IT_IS, "no sync"])
async def test_without_the_sync_a_power_cut_loses_acknowledged_answers(
    mutant: str, sandbox: RunningSandbox, memory_path: Path
) -> None:
    notes, start = memory_path / "power.jsonl", sandbox.sandbox.provider.bill.next_index
    async with nursery() as children:
        gateway = await alone(children, memory_path, sandbox, durability="strict")
        await gateway.started(power=str(notes), **leaving_out(mutant))
        # While the database is held, the journal is all there is.
        with held(gateway.database_url):
            seen = await some_answers(gateway, 40, chance(58), "strict")
            await gateway.killed()
        gone = cut_power(gateway.journals, notes)
        await taken_up_at_once(gateway)
    print(f"power cut, {mutant}: {len(seen.ended)} answers acknowledged, {gone} bytes gone")
    with must_fail(mutant, "lost"):
        check(bill_since(sandbox, start), await read_ledger(gateway.database_url), seen.calls)


@pytest.mark.parametrize("mutant", [AS_IT_IS, "no replay"])
async def test_without_the_replay_a_kill_loses_rows(mutant: str, sandbox: RunningSandbox, memory_path: Path) -> None:
    start = sandbox.sandbox.provider.bill.next_index
    async with nursery() as children:
        gateway = await alone(children, memory_path, sandbox)
        await gateway.started(**leaving_out(mutant))
        with held(gateway.database_url):
            seen = await some_answers(gateway, 20, chance(56), "replay")
            await gateway.killed()
        with must_fail(mutant, "dead journals are taken up"):
            await gateway.started(**leaving_out(mutant))
            await all_taken_up(gateway, 10.0 if mutant == AS_IT_IS else 3.0)
        await gateway.stopped()
    with must_fail(mutant, "lost: 20 of 20"):
        check(bill_since(sandbox, start), await read_ledger(gateway.database_url), seen.calls)


@pytest.mark.parametrize(
    ("mutant", "why"),
    [(AS_IT_IS, ""), ("no conflict rule", "refused"), ("conflicts are new", "totals differ from rows")],
)
async def test_without_the_conflict_rule_a_replay_is_refused_or_counted_twice(
    mutant: str, why: str, sandbox: RunningSandbox, memory_path: Path
) -> None:
    """An answer that runs keeps the checkpoint back: a kill then has rows replayed that the database has."""
    start = sandbox.sandbox.provider.bill.next_index
    async with nursery() as children:
        gateway = await alone(children, memory_path, sandbox)
        await gateway.started()
        dice = chance(57)
        running = asyncio.create_task(ask(gateway.port, "running", {**long_stream_body(dice), "n": 6}))
        await asyncio.sleep(0.3)
        seen = await some_answers(gateway, 20, dice, "conflict")

        async def written() -> bool:
            return len((await read_ledger(gateway.database_url)).rows) >= 20

        await until(written, "rows are in the database", SOON_S)
        await gateway.killed()
        assert not (await running).ended
        await taken_up_at_once(gateway, **leaving_out(mutant))
    with must_fail(mutant, why):
        nothing_refused(gateway.journals)
        check(bill_since(sandbox, start), await read_ledger(gateway.database_url), seen.calls)


@pytest.mark.parametrize("mutant", [AS_IT_IS, "no checkpoint"])
async def test_without_the_checkpoint_a_start_reads_everything_again(
    mutant: str, sandbox: RunningSandbox, memory_path: Path
) -> None:
    async with nursery() as children:
        gateway = await alone(children, memory_path, sandbox)
        await gateway.started(**leaving_out(mutant))
        await some_answers(gateway, 40, chance(59), "checkpoint")

        async def written() -> bool:
            return len((await read_ledger(gateway.database_url)).rows) == 40

        await until(written, "rows are in the database", SOON_S)
        await gateway.killed()
        await taken_up_at_once(gateway)
    [adopted] = gateway.logged("journal_adopted")
    with must_fail(mutant, "replayed"):
        assert adopted["rows"] == 0, f"replayed: {adopted['rows']} rows that the database had"
