"""Two customers of one task, each with a model, a pack and captured rows of its own: nothing crosses over."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
from declared_keys import PEPPER, as_, declared
from fake_provider import Call, FakeProvider, chunk, completion, reply, streams, usage_chunk
from served_gateway import Serve, ServedGateway, counted, eventually, read_rows
from test_captured_live import captured, kept

from gateway.config.packs import FIXED, HELD_OUT, INSTRUCTIONS, POOL, PackExample, example_line, sealed

TENANTS = ("acme", "globex")
PRICE = {"input_usd_per_1m": 1, "output_usd_per_1m": 2, "source": "test"}
A_ROUND = 250
PATIENCE_S = 60.0
AT_ONCE = 24


def write_pack(directory: Path, tenant: str) -> None:
    """A pack whose every part says whose it is."""
    said = (
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": f"secret-of-{tenant}: there."},
    )
    fixed, pool = (PackExample(f"{number:016x}", said, 20) for number in (1, 2))
    manifest = {"format": 1, "route": f"forum:{tenant}", "tenant": tenant, "similar": 1, "similar_tokens": 60}
    files = sealed(
        manifest | {"prefix_tokens": 2_000},
        {
            INSTRUCTIONS: f"Answer as secret-of-{tenant} would.\n".encode(),
            FIXED: example_line(fixed),
            POOL: example_line(pool),
            HELD_OUT: b"",
        },
    )
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


@pytest.fixture
async def two(serve: Serve, provider: FakeProvider, tmp_path: Path) -> ServedGateway:
    """A gateway with a task of two tenants, and keys: theirs, one of another tenant, and one of nobody's."""
    for tenant in TENANTS:
        write_pack(tmp_path / "packs" / f"forum.{tenant}", tenant)
    keys = declared(
        acme={"tenant": "acme", "pins": True, "capture": True, "team": "acme-team"},
        globex={"tenant": "globex", "pins": True, "capture": True},
        silent={"tenant": "acme"},
        initech={"tenant": "initech", "capture": True},
        nobody={"capture": True},
    )
    gateway = await serve(
        {"capture": {"share": 1}},
        more_fallbacks={
            "pack": {
                "provider": "second",
                "model": "base",
                "prompt": {"pack": str(tmp_path / "packs" / "{route}"), "caller_system": "keep"},
            }
        },
        more_routes={
            "forum": {
                "fallbacks": ["pack"],
                "variant_by": "tenant",
                "variants": {tenant: f"ft-{tenant}" for tenant in TENANTS},
                "capture": {"share": 1},
                "rehearsal": {"share": 0.3, "mode": "serve", "max_usd_per_day": 1000},
            },
            "acmes-own": {"primary": "tuned", "tenant": "acme"},
        },
        more_sections={
            "keys": keys,
            "prices": {
                "first": {"tuned": PRICE, **{f"ft-{tenant}": PRICE for tenant in TENANTS}},
                "second": {"base": PRICE},
            },
        },
        key_pepper=PEPPER,
        admin_key="the-admins",
        environ={"GATEWAY_KEY_PEPPER": PEPPER},
    )
    gateway.client.headers["authorization"] = "Bearer the-admins"
    return gateway


def tenant_in(text: str) -> set[str]:
    """Return whose words a text holds: each tenant's probes and packs say whose they are."""
    return {tenant for tenant in TENANTS if f"probe-of-{tenant}" in text or f"secret-of-{tenant}" in text}


async def echo(call: Call) -> None:
    """Answer with the last message, and with the prompt's first, as a model that was asked to repeat it might."""
    body, call.keeps_alive = call.json, True
    said = f"{body['messages'][-1]['content']} / {body['messages'][0]['content']}"
    if not body.get("stream"):
        await call.send(reply(completion(said, model=body["model"])))
        return
    events = (chunk(said), chunk(finish="stop"), usage_chunk())
    await streams(*(event | {"model": body["model"]} for event in events))(call)


async def all_booked(gateway: ServedGateway, count: int) -> None:
    """Wait until the ledger has so many rows; they are counted, since reading thousands again and again takes long."""

    def are_there() -> bool:
        gateway.clock.advance(0.25)
        with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("SELECT count(*) FROM attempts").fetchone()
        return bool(found == count)

    await eventually(are_there, f"{count} rows in the ledger", PATIENCE_S)


HOSTILE = (
    {},
    {},
    {"headers": {"x-gateway-tags": "tenant=acme"}},
    {"headers": {"x-gateway-tags": "TENANT=globex,feature=x"}},
    {"headers": {"x-gateway-tenant": "acme", "x-tenant": "globex"}},
    {"body": {"tenant": "acme", "tags": {"tenant": "globex"}, "metadata": {"tenant": "acme"}}},
    {"body": {"user": "acme", "safety_identifier": "globex"}},
    {"headers": {"x-gateway-session": "the-same-for-both"}},
    {"body": {"prompt_cache_key": "the-same-for-both"}},
)
MODELS = (
    "forum",
    "forum",
    "forum",
    "forum@primary",
    "forum@fallback",
    "forum@pack",
    "forum:{own}",
    "forum:{own}@fallback",
)


@pytest.mark.parametrize(
    "rounds", [pytest.param(1, id="hundreds"), pytest.param(12, id="thousands", marks=pytest.mark.rig)]
)
async def test_interleaved_probes_never_cross_over(two: ServedGateway, provider: FakeProvider, rounds: int) -> None:
    random, turns = Random(8), asyncio.Semaphore(AT_ONCE)
    provider.models = dict.fromkeys(("ft-acme", "ft-globex", "base"), echo)
    wrong: list[Any] = []

    async def probe(number: int) -> None:
        tenant, hostile = random.choice(TENANTS), random.choice(HOSTILE)
        model = random.choice(MODELS).format(own=tenant)
        # Half of them ask the very same as the other tenant does, but for the mark.
        asked = [{"role": "user", "content": f"probe-of-{tenant} {number % 50}: where is it?"}]
        headers = as_(tenant, **hostile.get("headers", {}))
        async with turns:
            answer = await two.chat(
                model, messages=asked, headers=headers, stream=random.random() < 0.3, **hostile.get("body", {})
            )
        text = answer.text + str(answer.headers)
        route, asked_of = answer.headers.get("x-gateway-route"), answer.headers.get("x-gateway-model")
        if answer.status_code != 200 or route != f"forum:{tenant}" or asked_of not in (f"ft-{tenant}", "base"):
            wrong.append((number, answer.status_code, route, asked_of))
        if tenant_in(text) != {tenant}:
            wrong.append((number, text))

    probes = rounds * A_ROUND
    for done in range(0, probes, A_ROUND):
        await asyncio.gather(*(probe(done + number) for number in range(A_ROUND)))
        await all_booked(two, done + A_ROUND)
    rows = {row.attempt_id: row for row in read_rows(two.database)}
    assert wrong == []

    calls = provider.chats()
    assert len(calls) == probes
    sent = [(call.json["model"], tenant_in(call.body.decode())) for call in calls]
    assert [(model, found) for model, found in sent if len(found) != 1] == []
    assert {(model, *found) for model, found in sent} == {
        ("ft-acme", "acme"), ("ft-globex", "globex"), ("base", "acme"), ("base", "globex"),
    }  # fmt: skip
    by_base = [call.json["messages"] for call in calls if call.json["model"] == "base"]
    assert all(any("secret-of-" in message["content"] for message in messages) for messages in by_base)

    for call in calls:
        row, (tenant,) = rows[str(call.header("x-client-request-id"))], tenant_in(call.body.decode())
        assert (row.route, row.key) == (f"forum:{tenant}", tenant)
        assert json.loads(row.tags)["tenant"] == tenant
        assert row.team == ("acme-team" if tenant == "acme" else None)

    found = await kept(two, 20)
    assert {row["route"] for row in found} == {"forum:acme", "forum:globex"}
    for row in found:
        assert row["route"] == f"forum:{row['tenant']}"
        assert tenant_in(row["request"] + row["answer"]) == {row["tenant"]}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        pytest.param("initech", "has no variant for the tenant of this key", id="a tenant that has none"),
        pytest.param("nobody", "this key names no tenant", id="a key without a tenant"),
    ],
)
async def test_who_has_no_variant_is_told_so_and_nothing_goes_upstream(
    two: ServedGateway, provider: FakeProvider, key: str, said: str
) -> None:
    for model in ("forum", "forum@primary"):
        answer = await two.chat(model, headers=as_(key, **{"x-gateway-tags": "tenant=acme"}), tenant="acme")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_variant")
        assert said in answer.json()["error"]["message"]
        assert "acme" not in answer.text
    assert provider.chats() == []


@pytest.mark.parametrize(
    ("key", "model"),
    [
        pytest.param("acme", "forum:globex", id="another tenant's variant"),
        pytest.param("acme", "forum:globex@fallback", id="a pin of another's variant"),
        pytest.param("initech", "forum:acme", id="a variant, for a tenant that has none"),
        pytest.param("nobody", "forum:acme", id="a variant, for a key without a tenant"),
        pytest.param("globex", "acmes-own", id="a route that is another tenant's"),
    ],
)
async def test_what_is_another_tenants_is_as_if_it_were_not_there(
    two: ServedGateway, provider: FakeProvider, key: str, model: str
) -> None:
    answer = await two.chat(model, headers=as_(key))
    nothing = await two.chat("no-such-thing", headers=as_(key))
    error, other = answer.json()["error"], nothing.json()["error"]
    assert (answer.status_code, error["code"]) == (nothing.status_code, other["code"]) == (404, "route_not_found")
    name = model.partition("@")[0]
    assert error["message"].startswith(f"There is no route {name!r} that this key may call;")
    assert other["message"].startswith("There is no route 'no-such-thing' that this key may call;")
    shown = await two.client.get(f"/v1/models/{model}", headers=as_(key))
    assert (shown.status_code, shown.json()["error"]["message"]) == (404, error["message"])
    assert provider.chats() == []


@pytest.mark.parametrize(
    ("key", "names"),
    [
        pytest.param("acme", ["reply", "acmes-own", "forum"], id="a tenant sees the task by its name"),
        pytest.param("globex", ["reply", "forum"], id="and no route of another tenant"),
        pytest.param("initech", ["reply"], id="a tenant without a variant does not see the task"),
        pytest.param("nobody", ["reply", "acmes-own"], id="nor does a key without a tenant"),
        pytest.param(
            None, ["reply", "forum:acme", "forum:globex", "acmes-own"], id="the admin's key sees every variant"
        ),
    ],
)
async def test_the_list_of_models_holds_what_a_key_may_call(
    two: ServedGateway, key: str | None, names: list[str]
) -> None:
    listed = await two.client.get("/v1/models", headers=as_(key) if key else {})
    assert [model["id"] for model in listed.json()["data"]] == names
    for model in listed.json()["data"]:
        one = await two.client.get(f"/v1/models/{model['id']}", headers=as_(key) if key else {})
        assert one.json() == model


async def test_a_tenants_list_tells_of_its_own_model(two: ServedGateway) -> None:
    for tenant in TENANTS:
        shown = (await two.client.get("/v1/models/forum", headers=as_(tenant))).json()
        assert (shown["id"], shown["served_model"]) == ("forum", f"ft-{tenant}")


async def test_the_admins_key_calls_any_variant_by_its_name_and_is_told_the_names(
    two: ServedGateway, provider: FakeProvider
) -> None:
    assert (await two.chat("forum:globex")).headers["x-gateway-model"] == "ft-globex"
    refused = await two.chat("forum")
    assert refused.status_code == 403
    assert "name a variant: forum:acme, forum:globex." in refused.json()["error"]["message"]


async def test_only_what_a_key_consents_to_is_kept_and_a_tenants_only_on_its_own_routes(
    two: ServedGateway, provider: FakeProvider
) -> None:
    await two.chat("forum", headers=as_("silent"), messages=[{"role": "user", "content": "no consent"}])
    await two.chat("reply", headers=as_("acme"), messages=[{"role": "user", "content": "a tenant's on a shared route"}])
    await two.chat("reply", headers=as_("nobody"), messages=[{"role": "user", "content": "nobody's in particular"}])
    await two.chat("forum", headers=as_("acme"), messages=[{"role": "user", "content": "consent"}])
    await counted(two, "gateway_captured_total", 2, outcome="kept")
    found = {(row["route"], row["tenant"]): row["request"] for row in captured(two.database)}
    assert set(found) == {("reply", ""), ("forum:acme", "acme")}
    assert "nobody's in particular" in found["reply", ""]
