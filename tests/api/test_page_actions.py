"""What the pages may change, by whom, and that nobody else is obeyed."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from viewed_gateway import ADMIN_KEY, HOSTILE, NOW, ROUTES, TUNED, ViewedGateway, viewed

from gateway.policy.planner import Command
from gateway.reasons import Availability
from gateway.store.database import Database
from gateway.store.states import StateStore
from tests.faults.served_gateway import eventually

MOVE = {"route": "reply", "to": "luna", "reason": "a drill", "lasts": "24h", "confirmed": "yes"}


@pytest.fixture
async def gateway(tmp_path: Path, empty_ledger: Path) -> AsyncIterator[ViewedGateway]:
    """With keys, and with actions."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(viewed(tmp_path, empty_ledger, keyed=True, ui_actions=True))


async def sent(gateway: ViewedGateway, path: str, form: Mapping[str, str], **headers: str) -> httpx.Response:
    return await gateway.served.client.post(
        f"/ui/actions/{path}", data=dict(form), headers={**gateway.headers, **headers}
    )


async def commands(gateway: ViewedGateway) -> Mapping[str, Command]:
    database = await Database.open(f"sqlite:///{gateway.served.database}")
    try:
        return (await StateStore(database, "").read(NOW)).commands
    finally:
        await database.close()


async def answers(gateway: ViewedGateway) -> tuple[Any, Any]:
    """Who answers the route now, and why."""
    gateway.served.clock.advance(1.0)
    said = (await gateway.served.client.get("/v1/models/reply", headers=dict(gateway.headers))).json()
    return said["served_model"], said["reason"]


async def test_a_route_is_moved_and_given_back(gateway: ViewedGateway) -> None:
    moved = await sent(gateway, "cutover", MOVE)
    assert (moved.status_code, moved.headers["location"]) == (303, "/ui/routes/reply?did=moved#actions")
    command = (await commands(gateway))["reply"]
    assert (command.target, command.reason, command.by) == ("luna", "a drill", "admin (ops page)")
    assert command.expires_at is not None
    assert command.expires_at - command.at == timedelta(hours=24)
    await eventually(lambda: follows(gateway, ("luna-1", "commanded")), "this replica follows the command")
    back = await sent(gateway, "release", {"route": "reply"})
    assert back.headers["location"] == "/ui/routes/reply?did=released#actions"
    assert await commands(gateway) == {}
    await eventually(lambda: follows(gateway, (TUNED, "primary")), "this replica follows the rules again")
    again = await sent(gateway, "release", {"route": "reply"})
    assert again.headers["location"] == "/ui/routes/reply?did=free_already#actions"


async def follows(gateway: ViewedGateway, expected: tuple[str, str]) -> bool:
    return await answers(gateway) == expected


async def test_the_event_names_the_page_and_the_reason(gateway: ViewedGateway) -> None:
    await sent(gateway, "cutover", MOVE)
    await eventually(lambda: follows(gateway, ("luna-1", "commanded")), "this replica follows the command")

    async def told() -> bool:
        gateway.served.clock.advance(1.0)
        database = await Database.open(f"sqlite:///{gateway.served.database}")
        found = await StateStore(database, "").events(route="reply")
        await database.close()
        return any(event.by == "admin (ops page)" and "a drill" in event.text for event in found)

    await eventually(told, "an event of who did it and why")


async def test_what_was_done_by_hand_is_in_the_audit(gateway: ViewedGateway) -> None:
    await sent(gateway, "cutover", MOVE)
    await sent(gateway, "release", {"route": "reply", "reason": f" {HOSTILE} "})
    await sent(gateway, "release", {"route": "reply"})
    await sent(gateway, "verify", {"route": "reply", "target": "luna"})
    shown = await gateway.served.client.get("/admin/audit", headers=dict(gateway.headers))
    rows = [row for row in shown.json()["data"] if row["subject"] == "reply"]
    assert [row["action"] for row in rows] == ["model_looked_at", "route_given_back", "route_moved"]
    assert {(row["by"], row["through"]) for row in rows} == {("admin (ops page)", "page")}
    assert rows[0]["changes"] == {"target": [None, "luna"], "model": [None, "luna-1"]}
    assert (rows[1]["changes"]["target"], rows[1]["changes"]["reason"]) == (["luna", None], ["a drill", HOSTILE])
    assert (rows[2]["changes"]["target"], rows[2]["changes"]["reason"]) == ([None, "luna"], [None, "a drill"])


async def test_a_model_is_verified_because_somebody_asks(gateway: ViewedGateway) -> None:
    asked = await sent(gateway, "verify", {"route": "reply", "target": "luna"})
    assert asked.headers["location"] == "/ui/routes/reply?did=verifying#actions"

    async def looked() -> bool:
        page = (await gateway.served.client.get("/metrics", headers=dict(gateway.headers))).text
        found = re.findall(r"^gateway_model_probes_total\{(.*other.*)\} (.*)$", page, re.MULTILINE)
        return any("connection" in labels and float(count) == 1 for labels, count in found)

    await eventually(looked, "one look at the model, which nobody answers")


async def test_a_model_that_is_gone_is_looked_at_anew(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True, ui_actions=True) as gateway:
        database = await Database.open(f"sqlite:///{gateway.served.database}")
        await StateStore(database, "").move_target(("acme", TUNED), Availability.GONE, version=0, now=NOW)
        await database.close()
        await eventually(lambda: follows(gateway, ("luna-1", "gone")), "this replica knows that it is gone")
        assert (await sent(gateway, "verify", {"route": "reply", "target": "primary"})).status_code == 303


REFUSED = (
    ({"reason": " "}, 400, "Say why, in a few words."),
    ({"reason": "x" * 501}, 400, "Say why, in a few words."),
    ({"to": "lune"}, 400, "has no target"),
    ({"to": "auto"}, 400, "there is another form"),
    ({"to": HOSTILE}, 400, "has no target"),
    ({"lasts": "soon"}, 400, "write 30m, 24h or 7d"),
    ({"route": "none"}, 404, "No such route"),
    ({"confirmed": ""}, 400, "Tick the box"),
)


async def test_a_form_that_cannot_be_meant_is_refused(gateway: ViewedGateway) -> None:
    for change, status, says in REFUSED:
        answer = await sent(gateway, "cutover", MOVE | change)
        assert answer.status_code == status, change
        assert says in answer.text
        assert "<script>alert" not in answer.text
    assert await commands(gateway) == {}


async def test_without_a_page_of_ours_nobody_is_obeyed(gateway: ViewedGateway) -> None:
    client = gateway.served.client
    here = {"origin": str(client.base_url).rstrip("/")}
    login = await client.post("/ui/login", data={"key": ADMIN_KEY}, headers=here)
    assert login.status_code == 303
    without_word = await client.post("/ui/actions/cutover", data=MOVE, headers=here)
    elsewhere = await client.post("/ui/actions/cutover", data=MOVE, headers={"origin": "https://evil.example"})
    client.cookies.clear()
    nobody = await client.post("/ui/actions/cutover", data=MOVE, headers=here)
    caller = await client.post("/ui/actions/cutover", data=MOVE, headers={"authorization": "Bearer sk-caller"})
    assert [answer.status_code for answer in (without_word, elsewhere, caller)] == [403, 403, 401]
    assert nobody.headers["location"].startswith("/ui/login")
    assert await commands(gateway) == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"keyed": True}, "set GATEWAY_UI_ACTIONS=true", id="not switched on"),
        pytest.param({"ui_actions": True}, "set GATEWAY_KEY, GATEWAY_ADMIN_KEY", id="switched on, without keys"),
    ],
)
async def test_forms_are_off_by_default(
    settings: Mapping[str, Any], says: str, tmp_path: Path, empty_ledger: Path
) -> None:
    async with viewed(tmp_path, empty_ledger, **settings) as gateway:
        page = await gateway.get("/ui/routes/reply")
        csrf = page.html.partition('name="csrf" value="')[2].partition('"')[0]
        origin = str(gateway.served.client.base_url).rstrip("/")
        answer = await sent(gateway, "cutover", MOVE | {"csrf": csrf}, origin=origin)
    assert says in page.text
    assert "gateway cutover reply --to luna --reason" in page.text
    assert "<fieldset disabled>" in page.main
    assert answer.status_code == 403
    assert says in answer.text


async def test_a_moved_route_says_so_and_a_reason_does_no_harm(gateway: ViewedGateway) -> None:
    assert (await sent(gateway, "cutover", MOVE | {"reason": HOSTILE, "lasts": ""})).status_code == 303
    await eventually(lambda: follows(gateway, ("luna-1", "commanded")), "this replica follows the command")
    page = await gateway.get("/ui/routes/reply?did=moved")
    assert "It is moved by hand; every replica follows within seconds." in page.text
    assert f"Held at luna by admin (ops page): {HOSTILE}. It has no end." in page.text
    assert "<script>alert" not in page.html
    other = await gateway.get(f"/ui/routes/reply?did={HOSTILE}")
    assert "moved by hand; every" not in other.text
    assert "<script>alert" not in other.html


async def test_while_the_database_is_away_nothing_is_done(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), ROUTES, keyed=True, ui_actions=True) as gateway:
        gateway.away()
        answer = await sent(gateway, "cutover", MOVE)
    assert answer.status_code == 503
    assert "Commands go through the database" in answer.text
