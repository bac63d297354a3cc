"""Four real gateways on one database: what one of them learns or is told, all act on, and people hear of once."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from gateway_server import ROOT, RunningGateway
from postgres_server import RunningPostgres
from replica_rig import (
    CONVERGED_S,
    LUNA,
    Inbox,
    ask,
    cutovers,
    dead_calls,
    events,
    http_client,
    quick_catalogue,
    running_inbox,
    running_replicas,
    shared,
    traffic,
    until,
    until_all_serve,
    write_routes,
)
from sandbox_server import RunningSandbox, running_sandbox

from gateway.execution.agreement import TICK_S
from gateway.reasons import EventKind, Reason
from gateway.sandbox.catalogue import Model, default_catalogue, more_fine_tunes

pytestmark = pytest.mark.rig

BASE = "gpt-4o-mini-2024-07-18"
SOLO = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
HELD = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
FORTY = tuple(f"task-{number:02}" for number in range(40))


def catalogue(started: datetime) -> tuple[Model, ...]:
    usual = default_catalogue(started)
    return (*usual, *more_fine_tunes(usual[:1], len(FORTY), started))


@dataclass
class Four:
    """Four gateways, the provider they share, and what people were told."""

    gateways: list[RunningGateway]
    sandbox: RunningSandbox
    inbox: Inbox
    url: str
    routes: Path


@pytest.fixture(scope="module")
def four(postgres: RunningPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    directory, url = tmp_path_factory.mktemp("four"), postgres.fresh_database()
    models = quick_catalogue(catalogue)
    primaries = dict(zip(FORTY, [model.id for model in models if model.base == BASE][1:], strict=True))
    with running_sandbox(catalogue=models) as sandbox, running_inbox() as inbox:
        routes = write_routes(directory, sandbox.base_url, {"solo": SOLO, "held": HELD, **primaries}, webhook=inbox.url)
        gateway("migrate", "--database", url)
        with running_replicas(4, routes, directory, url) as gateways:
            yield Four(gateways, sandbox, inbox, url, routes)


def gateway(*arguments: str) -> str:
    """Run a command in a process of its own, as a person would."""
    command = [sys.executable, "-m", "gateway", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def commanded_at(four: Four) -> float:
    """Put a route by hand for a minute, from a fifth process; return when that was done, in monotonic seconds."""
    order = ("--to", "luna", "--reason", "a rehearsal", "--for", "1m", "--by", "ana")
    gateway("cutover", "held", *order, "--routes", str(four.routes), "--database", four.url)
    return time.monotonic()


async def test_a_command_from_a_fifth_process_reaches_all(four: Four, commanded_at: float) -> None:
    async with http_client() as client:
        moved = await until_all_serve(client, four.gateways, ["held"], "fallback", CONVERGED_S)
        print(f"a command: all four follow after {max(moved) - commanded_at:.2f} s")
        answers = [await ask(client, each, "held") for each in four.gateways]
    seen = {(answer.status, answer.served_by, answer.reason) for answer in answers}
    assert seen == {(200, "fallback", "commanded")}


async def test_a_fine_tune_that_is_retired_under_traffic_is_cut_over_once(four: Four) -> None:
    async with http_client() as client:
        async with traffic(client, four.gateways, "solo") as seen:
            await until(lambda: all(len(seen.of(number)) > 5 for number in range(4)), "traffic runs everywhere")
            four.sandbox.sandbox.provider.retire(SOLO)
            retired_at = time.monotonic()
            converged = await until_all_serve(client, four.gateways, ["solo"], "fallback", CONVERGED_S)
            await until(lambda: events(four.url, EventKind.CUTOVER), "the cutover is an event")
            await until(lambda: cutovers(client, four.gateways, "solo"), "the cutover is counted")
            # Long enough for every replica to have looked at the shared state a few times.
            after = len(seen.answers)
            await until(lambda: len(seen.answers) > after + 4 * 40, "traffic goes on")
        print(f"a retired model: all four serve from the fallback after {max(converged) - retired_at:.2f} s")
        assert seen.failures == []
        for number in range(4):
            mine = seen.of(number)
            first_fallback = next(answer.at for answer in mine if answer.served_by == "fallback")
            assert first_fallback - retired_at < CONVERGED_S
            # A second for what was under way when it died.
            assert {answer.served_by for answer in mine if answer.at > max(converged) + 1} == {"fallback"}
        [event] = await events(four.url, EventKind.CUTOVER)
        assert (event.route, event.reason, event.model, event.to_target) == ("solo", Reason.GONE, SOLO, LUNA)
        assert await cutovers(client, four.gateways, "solo") == 1
        # Those in flight at each of the four when its first verdict came.
        assert dead_calls(four.sandbox, SOLO) <= 4 * 3


async def test_forty_routes_of_one_base_move_together_and_are_told_together(four: Four) -> None:
    before = len(four.inbox.of("cutover"))
    models = sorted(FORTY)
    async with http_client() as client:
        # Every route is in use, each at one of the replicas.
        for number, route in enumerate(FORTY):
            assert (await ask(client, four.gateways[number % 4], route)).served_by == "primary"
        dying = primaries_of(four)
        await until(lambda: all_have_served(four, dying), "the ledger knows who has served")
        # And every replica has read that.
        await asyncio.sleep(2 * TICK_S)
        for model in dying.values():
            four.sandbox.sandbox.provider.retire(model)
        retired_at = time.monotonic()
        first = await ask(client, four.gateways[0], FORTY[0])
        assert (first.status, first.served_by) == (200, "fallback")
        moved = await until_all_serve(client, four.gateways, FORTY, "fallback", 2 * CONVERGED_S)

        async def all_are_told() -> bool:
            return len({event.route for event in await events(four.url, EventKind.CUTOVER)} & set(FORTY)) == 40

        await until(all_are_told, "forty routes have their event")
    found = [event for event in await events(four.url, EventKind.CUTOVER) if event.route in dying]
    spread_s = (found[-1].at - found[0].at).total_seconds()
    print(f"forty routes: all four serve from the fallback after {max(moved) - retired_at:.2f} s")
    print(f"forty routes: their events lie within {spread_s:.2f} s")
    assert spread_s < CONVERGED_S
    assert sorted(str(event.route) for event in found) == models
    assert Counter(event.reason for event in found) == {Reason.GONE: 40}
    assert {event.model for event in found} == set(dying.values())
    await told_in_few_messages(four, before)


def primaries_of(four: Four) -> dict[str, str]:
    models = [model.id for model in four.sandbox.sandbox.provider.models.values() if model.base == BASE][1:]
    return dict(zip(FORTY, models, strict=True))


async def all_have_served(four: Four, primaries: dict[str, str]) -> bool:
    served = (await shared(four.url)).served
    return {("first", model) for model in primaries.values()} <= served


async def told_in_few_messages(four: Four, before: int) -> None:
    """Check that people hear of every route once, in a handful of messages that Slack shows."""

    def routes_told() -> list[str]:
        messages = four.inbox.of("cutover")[before:]
        return [event["route"] for message in messages for event in message["data"]["events"]]

    await until(lambda: len(routes_told()) >= 40, "forty routes are told of", 15)
    messages = four.inbox.of("cutover")[before:]
    print(f"forty routes: {len(messages)} messages")
    assert sorted(routes_told()) == sorted(FORTY)
    assert len(messages) <= 5
    largest = max(messages, key=lambda message: len(message["data"]["events"]))
    assert f"routes of `{BASE}`" in largest["text"]
    assert "*support*" in largest["text"]


async def test_a_command_expires_by_itself_everywhere(four: Four, commanded_at: float) -> None:
    async with http_client() as client:
        back = await until_all_serve(client, four.gateways, ["held"], "primary", 60 + CONVERGED_S)
        print(f"a command for 60 s: all four are back after {max(back) - commanded_at:.2f} s")
        assert max(back) - commanded_at < 60 + CONVERGED_S

        async def both_are_told() -> bool:
            return len(await events(four.url, EventKind.COMMANDED)) == 2

        await until(both_are_told, "the command and its end are events")
        there, end = await events(four.url, EventKind.COMMANDED)
        assert (there.route, there.by, there.to_target, end.to_target) == ("held", "ana", LUNA, HELD)
        assert "a rehearsal" in there.text
        assert (end.at - there.at).total_seconds() > 60 - CONVERGED_S
        assert await cutovers(client, four.gateways, "held") == 2


async def test_nobody_hears_anything_twice(four: Four) -> None:
    kept = await events(four.url, EventKind.CUTOVER, EventKind.COMMANDED)
    await until(lambda: len(told(four.inbox)) >= len(kept), "everything is told of", 15)
    ids = [message_id for message_id, _ in four.inbox.received]
    assert len(ids) == len(set(ids))
    assert sorted(told(four.inbox)) == sorted(event.event_id for event in kept)
    # One for each base that stops within 90 days.
    bases = [body["data"]["base"] for body in four.inbox.of("shutdown_notice")]
    assert sorted(bases) == [BASE.replace("4o", "4.1").replace("2024-07-18", "2025-04-14"), BASE]


def told(inbox: Inbox) -> list[str]:
    return [event["event_id"] for _, body in inbox.received for event in body["data"].get("events", ())]
