"""Packs that routes.yaml names by their hash: awaited from the database, and put in force once they are there."""

import json
from typing import Any

from a_pack import pack_files
from fake_provider import FakeProvider
from served_gateway import USER, Serve, ServedGateway, eventually
from sqlalchemy import update
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.config.packs import Pack, parse_pack
from gateway.store.database import Database
from gateway.store.packs import PackStore
from gateway.store.rows import Rows
from gateway.store.tables_learning import packs
from gateway.wiring import LEARN_EVERY_S

BEFORE = {"provider": "first", "model": "base", "prompt": {"instructions": "As before."}}


def _named(pack: Pack) -> dict[str, Any]:
    return {"provider": "first", "model": "base", "prompt": {"pack": pack.hash, "caller_system": "replace_if_trained"}}


async def _pushed(gateway: ServedGateway, files: dict[str, bytes]) -> Pack:
    database = await Database.open(f"sqlite:///{gateway.database}")
    try:
        return await PackStore(database).push(files, "me", SystemClock().now())
    finally:
        await database.close()


async def _reasons(gateway: ServedGateway) -> list[str]:
    """Why it is not ready, as soon as its database is open."""

    async def there() -> tuple[int, list[str]] | None:
        answer = await gateway.client.get("/readyz")
        found = answer.json()["reasons"]
        return (answer.status_code, found) if not any("ledger" in reason for reason in found) else None

    status, reasons = await eventually(there, "the database is open")
    assert status == (503 if reasons else 200)
    return reasons


async def _ready_within_seconds(gateway: ServedGateway) -> None:
    gateway.clock.advance(LEARN_EVERY_S)

    async def is_ready() -> bool:
        gateway.clock.advance(0.01)
        return (await gateway.client.get("/readyz")).status_code == 200

    await eventually(is_ready, "the gateway is ready")


async def _quiet(gateway: ServedGateway) -> None:
    """Let whoever woke up come to an end: the database answers from a thread of its own."""
    for _ in range(20):
        await gateway.client.get("/healthz")


async def _reload(gateway: ServedGateway, base: dict[str, Any], **route: Any) -> None:
    """Change routes.yaml, and wait until the change was seen."""
    file = gateway.database.parent / "config" / "routes.yaml"
    routes = json.loads(file.read_text())
    routes["fallbacks"]["base"] = base
    routes["routes"]["reply"] |= route
    seen = await gateway.metric("gateway_config_reloads_total")
    file.write_text(json.dumps(routes))
    await eventually(lambda: _reloaded(gateway, seen), "the change is seen")


async def _reloads(gateway: ServedGateway) -> dict[str, float]:
    outcomes = ("waiting", "loaded", "refused")
    return {outcome: await gateway.metric("gateway_config_reloads_total", outcome=outcome) for outcome in outcomes}


async def _reloaded(gateway: ServedGateway, seen: float) -> bool:
    gateway.clock.advance(0.25)
    return await gateway.metric("gateway_config_reloads_total") > seen


async def test_a_gateway_is_not_ready_until_the_pack_that_it_names_is_in_its_database(
    serve: Serve, provider: FakeProvider
) -> None:
    files = pack_files()
    pack = parse_pack(files)
    gateway = await serve({"primary": None}, base=_named(pack), ready=False)
    assert await _reasons(gateway) == [
        f"packs: {pack.hash} is not in the database; put there what is missing: gateway pack push DIR"
    ]
    await _pushed(gateway, files)
    await _ready_within_seconds(gateway)
    await gateway.chat(messages=[{"role": "user", "content": "Where is my lamp?"}])
    (call,) = provider.chats()
    assert [message["content"] for message in call.json["messages"]] == [
        "Answer briefly.",
        "Hello",
        "Hello!",
        "Bye",
        "Goodbye!",
        "How do I return a lamp?",
        "Bring it back within 30 days.",
        "Where is my parcel with the lamp?",
        "Parcels are tracked in your account.",
        "Where is my lamp?",
    ]
    (row,) = await gateway.rows(1)
    assert row.prompt_version == pack.version


async def test_a_gateway_waits_for_the_last_of_its_packs(serve: Serve) -> None:
    first, second = pack_files(), pack_files(similar=1)
    prompt = {"pack": parse_pack(second).hash}
    gateway = await serve(
        {"primary": None, "fallbacks": ["base", "more"]},
        base=_named(parse_pack(first)),
        more_fallbacks={"more": {"provider": "second", "model": "more", "prompt": prompt}},
        ready=False,
    )
    (reason,) = await _reasons(gateway)
    assert reason.count("sha256:") == 2
    await _pushed(gateway, first)
    gateway.clock.advance(10)
    await eventually(lambda: _says_only(gateway, parse_pack(second).hash), "one pack is missing")
    await _pushed(gateway, second)
    await _ready_within_seconds(gateway)


async def _says_only(gateway: ServedGateway, hash_: str) -> bool:
    gateway.clock.advance(1)
    reasons = await _reasons(gateway)
    return len(reasons) == 1 and reasons[0].count("sha256:") == 1 and hash_ in reasons[0]


async def test_a_reload_that_names_a_missing_pack_leaves_the_old_configuration_in_force_and_the_gateway_ready(
    serve: Serve, provider: FakeProvider
) -> None:
    files = pack_files()
    pack = parse_pack(files)
    gateway = await serve({"primary": None}, base=BEFORE)
    old = (await gateway.client.get("/readyz")).json()["config_hash"]
    with capture_logs() as logged:
        await _reload(gateway, _named(pack))
    assert await _reloads(gateway) == {"waiting": 1, "loaded": 0, "refused": 0}
    (waits,) = (line for line in logged if line["event"].startswith("config_"))
    assert (waits["event"], pack.hash in waits["why"], waits["config_hash"] != old) == ("config_waits", True, True)
    for _ in range(3):
        gateway.clock.advance(6)
        await _quiet(gateway)
        ready = await gateway.client.get("/readyz")
        assert (ready.status_code, ready.json()["config_hash"]) == (200, old)
        assert pack.hash in ready.json()["config_error"]
    await gateway.chat()
    assert [message["content"] for message in provider.chats()[0].json["messages"]] == [
        "As before.",
        USER[0]["content"],
    ]
    await _pushed(gateway, files)

    async def changed() -> bool:
        gateway.clock.advance(1)
        return (await gateway.client.get("/readyz")).json()["config_hash"] != old

    with capture_logs() as logged:
        await eventually(changed, "the new configuration is in force")
    assert await _reloads(gateway) == {"waiting": 1, "loaded": 1, "refused": 0}
    (taken,) = (line for line in logged if line["event"].startswith("config_"))
    assert (taken["event"], taken["config_hash"]) == ("config_loaded", waits["config_hash"])
    ready = await gateway.client.get("/readyz")
    assert (ready.status_code, ready.json()["config_error"]) == (200, None)
    await gateway.chat()
    rows = await gateway.rows(2)
    assert rows[0].prompt_version != rows[1].prompt_version == pack.version
    assert rows[0].config_hash == old != rows[1].config_hash


async def test_a_reload_that_takes_the_missing_pack_back_is_in_force_at_once(serve: Serve) -> None:
    gateway = await serve({"primary": None}, base=BEFORE)
    old = (await gateway.client.get("/readyz")).json()["config_hash"]
    await _reload(gateway, _named(parse_pack(pack_files())))
    await _reload(gateway, {**BEFORE, "prompt": {"instructions": "As after."}})
    ready = await gateway.client.get("/readyz")
    assert (ready.status_code, ready.json()["config_hash"] != old) == (200, True)
    assert await _reloads(gateway) == {"waiting": 1, "loaded": 1, "refused": 0}


async def test_every_reload_that_waits_is_told_even_for_the_same_pack(serve: Serve) -> None:
    gateway = await serve({"primary": None}, base=BEFORE)
    named = _named(parse_pack(pack_files()))
    with capture_logs() as logged:
        await _reload(gateway, named)
        await _reload(gateway, {**named, "model": "other"})
    waits = [line for line in logged if line["event"] == "config_waits"]
    assert len({line["config_hash"] for line in waits}) == len(waits) == 2
    assert await _reloads(gateway) == {"waiting": 2, "loaded": 0, "refused": 0}


async def test_a_pack_that_is_awaited_at_the_start_is_no_reload(serve: Serve) -> None:
    files = pack_files()
    gateway = await serve({"primary": None}, base=_named(parse_pack(files)), ready=False)
    await _reasons(gateway)
    await _pushed(gateway, files)
    with capture_logs() as logged:
        await _ready_within_seconds(gateway)
    assert [line["event"] for line in logged if line["event"].startswith("config_")] == ["config_loaded"]
    assert await _reloads(gateway) == {"waiting": 0, "loaded": 0, "refused": 0}


async def test_a_gateway_that_waits_is_ready_once_its_routes_name_no_missing_pack(serve: Serve) -> None:
    gateway = await serve({"primary": None}, base=_named(parse_pack(pack_files())), ready=False)
    assert await _reasons(gateway) != []
    await _reload(gateway, BEFORE)
    assert await _reasons(gateway) == []


async def test_a_pack_of_another_customer_never_serves(serve: Serve, provider: FakeProvider) -> None:
    files = pack_files(tenant="globex")
    pack = parse_pack(files)
    gateway = await serve({"primary": None, "tenant": "acme"}, base=_named(pack), ready=False)
    await _pushed(gateway, files)
    refused = f"routes.reply: pack {pack.hash} holds examples of tenant 'globex'"

    async def said() -> bool:
        gateway.clock.advance(1)
        return refused in await _reasons(gateway)

    await eventually(said, "the pack is refused")
    gateway.clock.advance(6)
    await _quiet(gateway)
    assert await _reasons(gateway) == [refused]
    await gateway.chat()
    assert provider.chats()[0].json["messages"] == USER
    (row,) = await gateway.rows(1)
    assert row.prompt_version != pack.version


async def test_a_reload_cannot_bring_in_the_pack_of_another_customer(serve: Serve, provider: FakeProvider) -> None:
    files = pack_files(tenant="globex")
    gateway = await serve({"primary": None}, base=BEFORE)
    pack = await _pushed(gateway, files)
    await _reload(gateway, _named(pack), tenant="acme")
    for _ in range(3):
        gateway.clock.advance(6)
        await _quiet(gateway)
    assert (await gateway.client.get("/readyz")).status_code == 200
    await gateway.chat()
    assert provider.chats()[0].json["messages"][0]["content"] == "As before."


async def test_a_damaged_pack_is_told_and_taken_once_it_is_pushed_again(serve: Serve, provider: FakeProvider) -> None:
    files = pack_files()
    pack = parse_pack(files)
    gateway = await serve({"primary": None}, base=BEFORE)
    await _pushed(gateway, files)
    database = await Database.open(f"sqlite:///{gateway.database}")
    await Rows(database).write(update(packs).values(content=b"damaged"))
    await database.close()
    waiting = await serve({"primary": None}, base=_named(pack), ready=False)
    await _pushed(waiting, files)
    await _ready_within_seconds(waiting)
    await _reload(gateway, _named(pack))
    gateway.clock.advance(6)
    await _quiet(gateway)
    await _pushed(gateway, files)

    async def serves() -> bool:
        gateway.clock.advance(1)
        await gateway.chat()
        return provider.chats()[-1].json["messages"][0]["content"] == "Answer briefly."

    await eventually(serves, "the pack serves")
