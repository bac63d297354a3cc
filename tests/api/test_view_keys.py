"""The page of the keys: who may call, what is spent, and what an admin may change there and nobody else."""

import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from viewed_gateway import ADMIN_KEY, HOSTILE, NOW, ROUTES, Shown, ViewedGateway, a_row, on_luna, viewed

from gateway.config.callers import Budget, Caller, KeyRole
from gateway.execution.key_ring import digest_of
from gateway.store.audit import AuditRow, AuditStore
from gateway.store.database import Database
from gateway.store.keys import KeyRow, KeyStore
from tests.fake_clock import FakeClock

pytestmark = pytest.mark.rig

PEPPER = "a pepper of thirty-two characters"
KEY_TEXT = re.compile(r"us_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
USD = 10**9
NEW = {
    "name": "forum-app",
    "role": "caller",
    "owner": "forum-team",
    "team": "",
    "routes": "reply\nlast*",
    "expires_at": "2027-06-01",
    "day_usd": "5",
    "month_usd": "100.50",
    "total_usd": "",
    "requests_per_minute": "600",
    "tokens_per_minute": "200,000",
    "max_output_tokens": "",
    "tags": "tenant=acme",
    "residency": "",
}


@pytest.fixture
async def gateway(tmp_path: Path, empty_ledger: Path) -> AsyncIterator[ViewedGateway]:
    """With keys, a pepper, and actions."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(keyed(tmp_path, empty_ledger))


def keyed(directory: Path, template: Path, rows: Any = (), routes: Mapping[str, Any] = ROUTES, **settings: Any) -> Any:
    told = {"keyed": True, "ui_actions": True, "key_pepper": PEPPER, **settings}
    return viewed(directory, template, rows, routes, **told)


async def sent(gateway: ViewedGateway, path: str, form: Mapping[str, str], **headers: str) -> httpx.Response:
    return await gateway.served.client.post(f"/ui/keys/{path}", data=dict(form), headers={**gateway.headers, **headers})


async def made(gateway: ViewedGateway, **fields: str) -> tuple[str, str]:
    """Make a key by the form; return its id and its text."""
    answer = await sent(gateway, "new", NEW | fields)
    assert answer.status_code == 200, answer.text
    (text,) = set(KEY_TEXT.findall(answer.text))
    return f"key_{text[3:11]}", text


async def calls(gateway: ViewedGateway, text: str) -> int:
    """Return the status of the cheapest thing that a caller may ask."""
    answer = await gateway.served.client.get("/v1/models", headers={"authorization": f"Bearer {text}"})
    return answer.status_code


async def stored(gateway: ViewedGateway) -> dict[str, KeyRow]:
    database = await Database.open(f"sqlite:///{gateway.served.database}")
    try:
        return {row.caller.name: row for row in await KeyStore(database, FakeClock(NOW)).all()}
    finally:
        await database.close()


async def audited(gateway: ViewedGateway, key_id: str) -> list[AuditRow]:
    database = await Database.open(f"sqlite:///{gateway.served.database}")
    try:
        return await AuditStore(database).latest(subject=key_id)
    finally:
        await database.close()


async def add(gateway: ViewedGateway, *callers: Caller, revoked: bool = False) -> None:
    """Put keys into the database, as another replica or a command line would."""
    database = await Database.open(f"sqlite:///{gateway.served.database}")
    store = KeyStore(database, FakeClock(NOW - timedelta(days=3)))
    for caller in callers:
        await store.create(caller, digest_of(b"x", caller.id.encode()).hex(), by="ann", through="cli")
        if revoked:
            await store.revoke(caller.id, by="ann", through="cli")
    await database.close()


def spend(gateway: ViewedGateway, key_id: str, day: int, month: int, total: int, held: int) -> None:
    """Write what a key has spent, in nano-dollars, as its budget's row says it: by the database's day, not ours."""
    today = datetime.now(UTC).date()
    with closing(sqlite3.connect(gateway.served.database)) as connection, connection:
        connection.execute(
            "INSERT INTO key_spend VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key_id, str(today), day, held, str(today.replace(day=1)), month, held, total, held),
        )


def a_key(name: str, number: int = 0, **fields: Any) -> Caller:
    return Caller(f"key_{number:08d}", name, **fields)


# --- one key from its making to its end ---


async def test_a_key_that_is_made_opens_at_once_and_its_text_is_shown_once(gateway: ViewedGateway) -> None:
    answer = await sent(gateway, "new", NEW)
    (text,) = KEY_TEXT.findall(answer.text)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert text not in str(answer.headers)
    assert await calls(gateway, text) == 200
    row = (await stored(gateway))["forum-app"]
    caller = row.caller
    assert (caller.owner, caller.team, caller.routes, caller.tenant) == ("forum-team", None, ("reply", "last*"), "acme")
    assert caller.budget == Budget(5 * USD, 100_500_000_000, None)
    assert (caller.requests_per_minute, caller.tokens_per_minute, caller.pins, caller.capture) == (
        600,
        200_000,
        False,
        False,
    )
    assert caller.expires_at is not None
    assert caller.expires_at.isoformat() == "2027-06-01T00:00:00+00:00"
    (change,) = await audited(gateway, caller.id)
    assert (change.action, change.by, change.through) == ("key_created", "admin", "page")
    for path in ("/ui/keys", f"/ui/keys/{caller.id}"):
        page = await gateway.get(path)
        assert text not in page.html
        assert text[12:] not in page.html
        assert row.digest not in page.html


async def test_what_a_key_is_and_may_is_said_in_sentences(gateway: ViewedGateway) -> None:
    key_id, _ = await made(gateway, pins="yes", residency="eu", max_output_tokens="4096")
    page = await gateway.get(f"/ui/keys/{key_id}")
    assert page.status == 200
    for sentence in (
        "It may call reply, last*: 2 routes of 3 now, lasting, reply.",
        "It speaks for acme",
        "It may choose who answers (ROUTE@primary).",
        "Only providers in eu answer it.",
        "It may spend $5.00 a day and $100 a month (UTC); a request that could cost more than is left is refused.",
        "It may send 600 requests and 200,000 tokens a minute.",
        "Its answers have at most 4,096 tokens",
        "Nothing that it is answered is kept.",
        "It is valid until 2027-06-01 00:00 UTC",
        "created by admin, on this page",
    ):
        assert sentence in page.text


async def test_a_key_is_replaced_and_the_one_before_ends_with_its_grace(gateway: ViewedGateway) -> None:
    key_id, first = await made(gateway)
    seen = str((await stored(gateway))["forum-app"].version)
    form = {"grace": "1", "confirmed": "yes", "seen": seen}
    answer = await sent(gateway, f"{key_id}/rotate", form)
    (second,) = KEY_TEXT.findall(answer.text)
    assert (answer.status_code, answer.headers["cache-control"], second[:12]) == (200, "no-store", first[:12])
    assert "The one before is valid until 2026-11-29 13:30 UTC." in Shown(200, answer.headers, answer.text).text
    assert [await calls(gateway, text) for text in (first, second)] == [200, 200]
    assert "The key before the last replacement opens, too, until" in (await gateway.get(f"/ui/keys/{key_id}")).text
    again = await sent(gateway, f"{key_id}/rotate", form)
    assert again.status_code == 409
    assert "It was changed meanwhile" in again.text
    assert KEY_TEXT.findall(again.text) == []
    gateway.served.clock.advance(3600)
    assert [await calls(gateway, text) for text in (first, second)] == [401, 200]
    assert [change.action for change in await audited(gateway, key_id)] == ["key_rotated", "key_created"]


async def test_what_a_key_may_use_is_changed_and_the_rest_of_it_stays(gateway: ViewedGateway) -> None:
    key_id, text = await made(gateway, pins="yes")
    page = await gateway.get(f"/ui/keys/{key_id}")
    shown = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.main))
    assert (shown["month_usd"], shown["expires_at"], shown["tokens_per_minute"]) == ("100.5", "2027-06-01", "200000")
    form = {"seen": shown["seen"], "owner": "new-team", "routes": "alone", "month_usd": "7"}
    answer = await sent(gateway, f"{key_id}/change", form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/keys/{key_id}?did=changed#actions")
    caller = (await stored(gateway))["forum-app"].caller
    assert (caller.owner, caller.routes, caller.expires_at) == ("new-team", ("alone",), None)
    assert caller.budget == Budget(None, 7 * USD, None)
    assert (caller.tenant, caller.pins, caller.requests_per_minute) == ("acme", True, None)
    listed = await gateway.served.client.get("/v1/models", headers={"authorization": f"Bearer {text}"})
    assert [model["id"] for model in listed.json()["data"]] == ["alone"]
    after = await gateway.get(f"/ui/keys/{key_id}?did=changed")
    assert "It is changed: here at once, on other replicas within seconds." in after.text
    assert "owner: forum-team → new-team" in after.text
    assert "budget a month: $100 → $7.00" in after.text
    stale = await sent(gateway, f"{key_id}/change", form | {"owner": "third-team"})
    assert stale.status_code == 409
    assert (await stored(gateway))["forum-app"].caller.owner == "new-team"


async def test_a_key_is_revoked_for_good(gateway: ViewedGateway) -> None:
    key_id, text = await made(gateway)
    unsure = await sent(gateway, f"{key_id}/revoke", {"confirmed": ""})
    assert (unsure.status_code, await calls(gateway, text)) == (400, 200)
    answer = await sent(gateway, f"{key_id}/revoke", {"confirmed": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/keys/{key_id}?did=revoked#actions")
    assert await calls(gateway, text) == 401
    page = await gateway.get(f"/ui/keys/{key_id}?did=revoked")
    assert "It is revoked: refused here from now on" in page.text
    assert "and opens nothing" in page.text
    assert "<form" not in page.main
    for action in ("rotate", "change"):
        late = await sent(
            gateway,
            f"{key_id}/{action}",
            {"confirmed": "yes", "grace": "0", "seen": str((await stored(gateway))["forum-app"].version)},
        )
        assert late.status_code == 409, action
        assert "is revoked, and stays so" in late.text
    assert f'id="key-{key_id}"' not in (await gateway.get("/ui/keys")).html
    assert "forum-app" in (await gateway.get("/ui/keys?show=revoked")).text


# --- what cannot be meant, and who is not obeyed ---


async def test_a_form_that_makes_no_key_is_shown_again_with_what_is_wrong(tmp_path: Path, empty_ledger: Path) -> None:
    async with keyed(tmp_path, empty_ledger, routes=DECLARING) as gateway:
        wrong = {"name": HOSTILE, "role": "admin", "month_usd": HOSTILE, "requests_per_minute": "1.5"}
        answer = await sent(gateway, "new", NEW | wrong)
        declared = await sent(gateway, "new", NEW | {"name": "yaml-app"})
        assert await stored(gateway) == {}
    said = re.findall(r'<p class="error" id="e-(\w+)">(.*?)</p>', answer.text)
    assert {name for name, _ in said} == set(wrong)
    assert dict(said)["month_usd"] == "$ a month: must be a number, such as 100."
    assert answer.status_code == 400
    assert 'value="forum-team"' in answer.text, "what was typed stays typed"
    assert "<script>alert" not in answer.text
    assert KEY_TEXT.findall(answer.text) == []
    assert declared.status_code == 400
    assert "Name: is the name of a key that routes.yaml declares." in declared.text


async def test_a_name_is_given_once(gateway: ViewedGateway) -> None:
    await made(gateway)
    answer = await sent(gateway, "new", NEW)
    assert answer.status_code == 400
    assert "There is a key named" in answer.text
    assert KEY_TEXT.findall(answer.text) == []
    assert len(await stored(gateway)) == 1


async def test_without_a_page_of_ours_nobody_is_obeyed(gateway: ViewedGateway) -> None:
    key_id, text = await made(gateway)
    client = gateway.served.client
    here = {"origin": str(client.base_url).rstrip("/")}
    assert (await client.post("/ui/login", data={"key": ADMIN_KEY}, headers=here)).status_code == 303
    statuses = {}
    for path, form in (("new", NEW | {"name": "another"}), (f"{key_id}/revoke", {"confirmed": "yes"})):
        url = f"/ui/keys/{path}"
        statuses[f"without the page's word: {path}"] = (await client.post(url, data=form, headers=here)).status_code
        elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        statuses[f"from elsewhere: {path}"] = (await client.post(url, data=form, headers=elsewhere)).status_code
    assert set(statuses.values()) == {403}, statuses
    client.cookies.clear()
    assert (await client.post("/ui/keys/new", data=NEW, headers=here)).headers["location"].startswith("/ui/login")
    for credential in (text, "sk-caller"):
        bearer = {"authorization": f"Bearer {credential}"}
        assert (await client.post("/ui/keys/new", data=NEW | {"name": "b"}, headers=bearer)).status_code == 401
        assert (await client.get("/ui/keys", headers=bearer)).status_code == 401
    assert list(await stored(gateway)) == ["forum-app"]
    assert await calls(gateway, text) == 200


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"ui_actions": False}, "set GATEWAY_UI_ACTIONS=true", id="not switched on"),
        pytest.param({"key_pepper": None}, "Keys of their own need GATEWAY_KEY_PEPPER", id="no pepper"),
        pytest.param({"keyed": False, "key_pepper": None}, "need GATEWAY_KEY_PEPPER", id="no keys at all"),
    ],
)
async def test_forms_are_off_where_they_cannot_be_obeyed(
    settings: Mapping[str, Any], says: str, tmp_path: Path, empty_ledger: Path
) -> None:
    async with keyed(tmp_path, empty_ledger, **settings) as gateway:
        page = await gateway.get("/ui/keys/new")
        csrf = page.html.partition('name="csrf" value="')[2].partition('"')[0]
        origin = str(gateway.served.client.base_url).rstrip("/")
        answer = await sent(gateway, "new", NEW | {"csrf": csrf}, origin=origin)
        assert await stored(gateway) == {}
    assert says in page.text
    assert "gateway keys create forum-app --owner forum-team" in page.text
    assert "<fieldset disabled>" in page.main
    assert answer.status_code == 403
    assert says in answer.text


@pytest.mark.parametrize(
    ("is_keyed", "says"), [(True, "Everybody shares one key."), (False, "Nobody is asked for a key.")]
)
async def test_without_a_pepper_the_page_says_what_it_takes(
    is_keyed: bool, says: str, tmp_path: Path, empty_ledger: Path
) -> None:
    async with keyed(tmp_path, empty_ledger, keyed=is_keyed, key_pepper=None) as gateway:
        page = await gateway.get("/ui/keys")
    assert says in page.text
    assert "GATEWAY_KEY_PEPPER=$(openssl rand -hex 32)" in page.text


async def test_what_is_no_keys_id_is_not_asked_for(gateway: ViewedGateway) -> None:
    for wrong in ("key_%00abcdef", "key_1", "KEY_00000001", "yaml:none", "%ED%A0%80", "..%2F..", "x" * 3000):
        assert (await gateway.get(f"/ui/keys/{wrong}")).status == 404, wrong
        for action in ("change", "rotate", "revoke"):
            form = {"confirmed": "yes", "grace": "0", "seen": "1"}
            answer = await sent(gateway, f"{wrong}/{action}", form)
            assert answer.status_code in (404, 405, 409), (wrong, action)


async def test_with_a_pepper_and_no_admin_the_pages_are_closed(tmp_path: Path, empty_ledger: Path) -> None:
    async with keyed(tmp_path, empty_ledger, keyed=False) as gateway:
        page = await gateway.get("/ui/keys")
    assert page.status == 403
    assert "Callers of this gateway have a key, but its operator has none" in page.text


# --- the list ---

DECLARING = ROUTES | {
    "keys": {
        "yaml-app": {
            "digest": f"hmac-sha256:{digest_of(PEPPER.encode(), b'a key that Git knows by its digest').hex()}",
            "owner": "platform",
            "routes": ["reply"],
        }
    }
}


async def test_what_needs_a_person_comes_first_and_is_said(gateway: ViewedGateway) -> None:
    await add(
        gateway,
        a_key("calm", 1, owner="support", team="help"),
        a_key("ending", 2, expires_at=NOW + timedelta(days=3, hours=1)),
        a_key("gone", 3, expires_at=NOW - timedelta(days=3)),
        a_key("nearly", 4, budget=Budget(month_nanousd=100 * USD)),
        a_key("scraper", 5, role=KeyRole.OBSERVER),
    )
    spend(gateway, "key_00000004", 2 * USD, 92 * USD, 300 * USD, 3 * USD)
    page = await gateway.get("/ui/keys")
    assert "4 keys are in use. 1 ends within a week: ending (in 3 d). 1 has spent nearly all of a budget: nearly." in (
        page.text
    )
    assert re.findall(r'<tr role="row" id="key-key_0000000(\d)"', page.main) == ["2", "4", "1", "5", "3"]
    assert "$92.00 of $100 this month ($3.00 held)" in page.row("nearly")
    assert '<rect class="spent" width="92.0"' in page.main
    assert '<rect class="held" x="92.0" width="3.0"' in page.main
    assert "support · help" in page.row("calm")
    assert "no budget" in page.row("calm")
    assert "/metrics" in page.row("scraper")
    assert "expired" in page.row("gone")


async def test_a_reviewers_key_is_made_by_the_form_and_logs_in(gateway: ViewedGateway) -> None:
    answer = await sent(gateway, "new", NEW | {"name": "mira", "role": "reviewer"})
    (text,) = KEY_TEXT.findall(answer.text)
    assert "logs in with it at /ui/login" in answer.text
    assert "OPENAI_API_KEY" not in answer.text
    assert (await stored(gateway))["mira"].caller.role is KeyRole.REVIEWER
    assert await calls(gateway, text) == 403
    opened = await gateway.served.client.get("/ui/review", headers={"authorization": f"Bearer {text}"})
    assert opened.status_code == 200
    assert "review: reply, last*" in (await gateway.get("/ui/keys")).row("mira")


async def test_a_month_that_is_over_counts_as_nothing(gateway: ViewedGateway) -> None:
    await add(gateway, a_key("app", 1, budget=Budget(5 * USD, 100 * USD, 1000 * USD)))
    spend(gateway, "key_00000001", 4 * USD, 92 * USD, 300 * USD, 0)
    with closing(sqlite3.connect(gateway.served.database)) as connection, connection:
        connection.execute("UPDATE key_spend SET day = '2026-10-31', month = '2026-10-01'")
    row = (await gateway.get("/ui/keys")).row("app")
    assert "$0 of $5.00 today" in row
    assert "$0 of $100 this month" in row
    assert "$300 of $1,000 in all" in row


async def test_what_a_key_was_used_for_is_read_from_the_ledger(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [
        a_row(timedelta(hours=5), key="app", cost_nanousd=2 * USD),
        on_luna(timedelta(hours=30), key="app", cost_nanousd=USD),
        a_row(timedelta(days=29), key="app", cost_nanousd=USD, route="lasting"),
        a_row(timedelta(days=31), key="app", cost_nanousd=64 * USD),
        a_row(timedelta(hours=1), key="other", cost_nanousd=128 * USD),
    ]
    async with keyed(tmp_path, empty_ledger, rows) as gateway:
        await add(gateway, a_key("app", 1), a_key("idle", 2))
        listed, page = await gateway.get("/ui/keys"), await gateway.get("/ui/keys/key_00000001")
        idle = await gateway.get("/ui/keys/key_00000002")
    assert "$4.00" in listed.row("app")
    assert "5 h ago" in listed.row("app")
    assert "not in 30 d" in listed.row("idle")
    assert "$3.00" in page.row("reply")
    assert "$1.00" in page.row("lasting")
    assert "2026-11-28 $0 $1.00 1" in page.text
    assert "It was last used 5 h ago." in page.text
    assert "128" not in page.text
    assert "It was not used in 30 days." in idle.text


async def test_keys_of_routes_yaml_are_shown_and_left_alone(tmp_path: Path, empty_ledger: Path) -> None:
    async with keyed(tmp_path, empty_ledger, routes=DECLARING) as gateway:
        await add(gateway, a_key("yaml-app", 1))
        listed, page = await gateway.get("/ui/keys"), await gateway.get("/ui/keys/yaml:yaml-app")
        answer = await sent(gateway, "yaml:yaml-app/revoke", {"confirmed": "yes"})
        used = await calls(gateway, "a key that Git knows by its digest")
    assert "in routes.yaml" in listed.text
    assert "opens nothing: another key has its name" in listed.text
    assert "It is declared in routes.yaml, and can be changed only there." in page.text
    assert "It may call reply." in page.text
    assert "<form" not in page.main
    assert (answer.status_code, used) == (409, 200)
    assert "change it there" in answer.text


async def test_a_thousand_keys_are_paged_and_found(gateway: ViewedGateway) -> None:
    with closing(sqlite3.connect(gateway.served.database)) as connection, connection:
        connection.executemany(
            "INSERT INTO keys (key_id, name, digest, role, pins, capture, created_at, created_by, version, owner) "
            "VALUES (?, ?, ?, 'caller', 0, 0, 0, 'ann', 1, ?)",
            [(f"key_{n:08d}", f"app-{n:04d}", f"{n:064x}", f"team-{n % 7}") for n in range(1000)],
        )
    first = await gateway.get("/ui/keys")
    assert "1,000 keys are in use." in first.text
    assert first.main.count('<tr role="row" id="key-') == 50
    assert len(first.html) < 60_000
    assert first.links("/ui/keys?page=") == ["/ui/keys?page=2"]
    last = await gateway.get("/ui/keys?page=20")
    assert last.links("/ui/keys?page=") == ["/ui/keys?page=19"]
    assert "app-0999" in last.text
    beyond = await gateway.get("/ui/keys?page=99999")
    assert "app-0999" in beyond.text
    found = await gateway.get("/ui/keys?q=TEAM-3+app-01")
    assert "15 of 1,000" in found.text
    assert found.links("/ui/keys?q") == []
    second = await gateway.get("/ui/keys?q=team-3")
    assert second.links("/ui/keys?q=team-3&page=2") == ["/ui/keys?q=team-3&page=2"]


async def test_names_and_queries_do_no_harm(gateway: ViewedGateway) -> None:
    await add(gateway, a_key("app", 1, owner=HOSTILE, tags={"tenant": HOSTILE}, routes=(HOSTILE,)))
    for path in (
        "/ui/keys",
        f"/ui/keys?q={HOSTILE}",
        "/ui/keys/key_00000001",
        f"/ui/keys/{HOSTILE}",
        "/ui/keys?page=-1",
    ):
        page = await gateway.get(path)
        assert page.status in (200, 404), path
        assert "<script>alert" not in page.html
        assert "<img src=x" not in page.html


async def test_before_there_are_keys_the_page_teaches(gateway: ViewedGateway, tmp_path: Path) -> None:
    empty = await gateway.get("/ui/keys")
    assert "No keys yet." in empty.text
    assert "gateway keys create" in empty.text
    assert "No key was revoked." in (await gateway.get("/ui/keys?show=revoked")).text
    nobody = await gateway.get("/ui/keys/key_00000009")
    assert (nobody.status, "No such key" in nobody.text) == (404, True)


async def test_while_the_database_is_away_that_is_said_and_nothing_is_done(tmp_path: Path, empty_ledger: Path) -> None:
    async with keyed(tmp_path, empty_ledger, routes=DECLARING) as gateway:
        key_id, text = await made(gateway)
        gateway.away()
        gateway.served.clock.advance(60)
        listed = await gateway.get("/ui/keys")
        declared = await gateway.get("/ui/keys/yaml:yaml-app")
        own = await gateway.get(f"/ui/keys/{key_id}")
        answers = [
            await sent(gateway, "new", NEW | {"name": "another"}),
            await sent(gateway, f"{key_id}/revoke", {"confirmed": "yes"}),
        ]
        still = await calls(gateway, text)
    assert "The database is away." in listed.text
    assert "yaml-app" in listed.text
    assert (declared.status, own.status, still) == (200, 503, 200)
    assert "The database is away" in own.text
    assert [answer.status_code for answer in answers] == [503, 503]
    assert all("Keys are in the database" in answer.text for answer in answers)
    assert all(KEY_TEXT.findall(answer.text) == [] for answer in answers)
