"""What the admin API refuses: nobody but an administrator, no field that cannot be, and never by failing."""

import json
import sqlite3
from pathlib import Path

import pytest
from viewed_gateway import ROUTES

from tests.api.keyed_gateway import ADMIN, ADMIN_KEY, Keyed, running
from tests.faults.served_gateway import eventually, served

UNKNOWN = "key_aaaaaaaa"
PATHS = (
    ("POST", "/keys"),
    ("GET", "/keys"),
    ("GET", f"/keys/{UNKNOWN}"),
    ("PATCH", f"/keys/{UNKNOWN}"),
    ("POST", f"/keys/{UNKNOWN}/rotate"),
    ("DELETE", f"/keys/{UNKNOWN}"),
    ("GET", "/audit"),
)
JSON = {"content-type": "application/json"}


REFUSED = [
    pytest.param({}, "name", id="without a name"),
    pytest.param({"name": ""}, "name", id="an empty name"),
    pytest.param({"name": "x" * 65}, "name", id="a long name"),
    pytest.param({"name": "a b"}, "name", id="a name with a space"),
    pytest.param({"name": "a\u0000b"}, "name", id="a name with NUL"),
    pytest.param({"name": "ä"}, "name", id="a name beyond ASCII"),
    pytest.param({"name": ["a"]}, "name", id="a list for a name"),
    pytest.param({"name": "admin"}, "name", id="the environment's name"),
    pytest.param({"name": "DEFAULT"}, "name", id="the environment's other name, in capitals"),
    pytest.param({"role": "admin"}, "role", id="an admin"),
    pytest.param({"role": None}, "role", id="no role"),
    pytest.param({"id": "key_aaaaaaaa"}, "id", id="an id of one's own"),
    pytest.param({"digest": "00" * 32}, "digest", id="a digest of one's own"),
    pytest.param({"key": "us_mine"}, "key", id="a text of one's own"),
    pytest.param({"owner": "a\u0000b"}, "owner", id="an owner with NUL"),
    pytest.param({"owner": ""}, "owner", id="an empty owner"),
    pytest.param({"owner": "x" * 201}, "owner", id="a long owner"),
    pytest.param({"owner": "a\u202eb"}, "owner", id="an owner that turns the text around"),
    pytest.param({"team": "a\nb"}, "team", id="a team of two lines"),
    pytest.param({"tags": {"A b": "c"}}, "tags", id="a tag's name that is none"),
    pytest.param({"tags": {"a": "\u0000"}}, "tags", id="a tag's value with NUL"),
    pytest.param({"tags": {"a": 1}}, "tags", id="a number for a tag's value"),
    pytest.param({"tags": {f"t{number}": "v" for number in range(9)}}, "tags", id="nine tags"),
    pytest.param({"routes": []}, "routes", id="no route at all"),
    pytest.param({"routes": ["reply@primary"]}, "routes", id="a pin for a route"),
    pytest.param({"routes": ["x"] * 101}, "routes", id="too many routes"),
    pytest.param({"routes": "reply"}, "routes", id="a word for a list"),
    pytest.param({"pins": 1}, "pins", id="a number for a truth"),
    pytest.param({"pins": "true"}, "pins", id="a word for a truth"),
    pytest.param({"capture": None}, "capture", id="null for a truth"),
    pytest.param({"residency": "e\u0000u"}, "residency", id="a residency with NUL"),
    pytest.param({"expires_at": "soon"}, "expires_at", id="a date that is none"),
    pytest.param({"expires_at": 1e300}, None, id="a number far away for a date"),
    pytest.param({"expires_at": 5}, "expires_at", id="a number for a date"),
    pytest.param({"expires_at": "2027-06-01T12:00:00"}, "expires_at", id="an hour that is not said where"),
    pytest.param({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at", id="before all days"),
    pytest.param({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at", id="after all days"),
    pytest.param({"budget": 5}, "budget", id="a number for a budget"),
    pytest.param({"budget": {"day_usd": -1}}, "budget.day_usd", id="less than nothing"),
    pytest.param({"budget": {"day_usd": 1_000_000_001}}, "budget.day_usd", id="more than there is"),
    pytest.param({"budget": {"day_usd": "5"}}, "budget.day_usd", id="a word for an amount"),
    pytest.param({"budget": {"day_usd": True}}, "budget.day_usd", id="a truth for an amount"),
    pytest.param({"budget": {"week_usd": 5}}, "budget.week_usd", id="a budget a week"),
    pytest.param({"requests_per_minute": 0}, "requests_per_minute", id="no requests"),
    pytest.param({"requests_per_minute": -(2**62)}, "requests_per_minute", id="far less than none"),
    pytest.param({"requests_per_minute": 2**62}, "requests_per_minute", id="more than anybody sends"),
    pytest.param({"requests_per_minute": 2**64}, None, id="more than 64 bits"),
    pytest.param({"requests_per_minute": 1.5}, "requests_per_minute", id="one and a half"),
    pytest.param({"tokens_per_minute": 10**11}, "tokens_per_minute", id="more tokens than anybody sends"),
    pytest.param({"max_output_tokens": 0}, "max_output_tokens", id="no answer at all"),
]


async def test_a_field_that_cannot_be_is_refused_whenever_it_is_sent(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    for case in REFUSED:
        fields, field = case.values
        answers = [await keyed.admin("POST", "/keys", json={"name": "x", **fields} if fields else {})]
        if "name" not in fields and fields:
            answers.append(await keyed.admin("PATCH", f"/keys/{made['id']}", json=fields))
        for answer in answers:
            assert answer.status_code == 400, (case.id, answer.text)
            if field is not None:
                assert field in answer.json()["error"]["message"], (case.id, answer.text)
    assert [key["name"] for key in (await keyed.admin("GET", "/keys")).json()["data"]] == ["forum-app"]
    assert len((await keyed.admin("GET", "/audit")).json()["data"]) == 1


BODIES = [
    pytest.param(b"{", 400, "invalid_json", id="half a document"),
    pytest.param(b"[]", 400, "invalid_request", id="a list"),
    pytest.param(b"null", 400, "invalid_request", id="nothing"),
    pytest.param(b'{"name": "a\\ud800"}', 400, "invalid_json", id="half a character"),
    pytest.param(b'{"name": "\xff"}', 400, "invalid_json", id="bytes that are no text"),
    pytest.param(b'{"name": NaN}', 400, "invalid_json", id="no number"),
    pytest.param(b'{"name": ' + b"[" * 300 + b"]" * 300 + b"}", 400, "invalid_json", id="a deep one"),
    pytest.param(b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400, "invalid_json", id="a very deep one"),
    pytest.param(b'{"requests_per_minute": ' + b"9" * 6000 + b"}", 400, "invalid_json", id="a number of 6,000 digits"),
    pytest.param(json.dumps({"x" * 3000: 1}).encode(), 400, "invalid_request", id="a field with a long name"),
    pytest.param(b" " * 70_000, 413, "body_too_large", id="a large one"),
]


async def test_a_body_that_is_no_key_is_refused(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    paths = (("POST", "/keys"), ("PATCH", f"/keys/{made['id']}"), ("POST", f"/keys/{made['id']}/rotate"))
    for case in BODIES:
        body, status, code = case.values
        for method, path in paths:
            answer = await keyed.admin(method, path, content=body, headers=JSON)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (case.id, path, answer.text)
            assert len(answer.content) < 1500, case.id
    form = await keyed.admin("PATCH", f"/keys/{made['id']}", content=b"owner=ada")
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")
    nothing = await keyed.admin("PATCH", f"/keys/{made['id']}")
    assert nothing.status_code == 400
    grace = [
        await keyed.admin("POST", f"/keys/{made['id']}/rotate", json={"grace_s": s}) for s in (-1, 10**9, "1", 1.5)
    ]
    assert [answer.status_code for answer in grace] == [400] * 4
    assert await keyed.status(made["key"]) == 200


UNKNOWN_IDS = (
    UNKNOWN,
    "forum-app",
    "key_%00aaaaaa",
    "%00",
    "key_ÄÄÄÄÄÄÄÄ",
    "yaml:none",
    "..%2f..",
    "x" * 3000,
    "'--",
    "%ff%fe",
)


async def test_an_id_of_no_key_is_not_found(keyed: Keyed) -> None:
    await keyed.made(name="forum-app")
    for key_id in UNKNOWN_IDS:
        for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/rotate"), ("DELETE", "")):
            answer = await keyed.admin(method, f"/keys/{key_id}{path}", **({"json": {}} if method[0] == "P" else {}))
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (key_id, method)


QUERIES = (
    ("/keys", "limit=0"),
    ("/keys", "limit=1001"),
    ("/keys", f"limit={10**30}"),
    ("/keys", "limit=-1"),
    ("/keys", "limit=x"),
    ("/keys", "after=%00"),
    ("/keys", "after="),
    ("/keys", "after=" + "x" * 301),
    ("/keys", "revoked=perhaps"),
    ("/audit", f"limit={2**64}"),
    ("/audit", "limit=501"),
    ("/audit", "before=yesterday"),
    ("/audit", "subject=a%00b"),
    ("/audit", "subject="),
)


async def test_a_question_that_cannot_be_is_refused(keyed: Keyed) -> None:
    for path, query in QUERIES:
        answer = await keyed.admin("GET", f"{path}?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request"), query
    assert (await keyed.admin("GET", "/audit?subject=%ff%f0nobody")).json()["data"] == []
    assert (await keyed.admin("GET", "/keys?after=~~~~")).json()["data"] == []


async def test_a_name_is_given_once(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    for _ in range(2):
        again = await keyed.admin("POST", "/keys", json={"name": "forum-app"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        await keyed.admin("DELETE", f"/keys/{made['id']}")
    assert (await keyed.admin("DELETE", f"/keys/{made['id']}")).status_code == 200
    for method, path in (("PATCH", ""), ("POST", "/rotate")):
        ended = await keyed.admin(method, f"/keys/{made['id']}{path}", json={"owner": "ada"} if not path else {})
        assert (ended.status_code, ended.json()["error"]["code"]) == (409, "conflict")
    assert await keyed.status(made["key"]) == 401


async def test_nobody_but_an_administrator_may(keyed: Keyed) -> None:
    caller = (await keyed.made(name="forum-app"))["key"]
    observer = (await keyed.made(name="metrics", role="observer"))["key"]
    for method, path in PATHS:
        for key, status, code in (
            (caller, 403, "not_allowed"),
            (observer, 403, "not_allowed"),
            ("us_nobody00_" + "x" * 43, 401, "invalid_api_key"),
        ):
            headers = {"authorization": f"Bearer {key}", **JSON}
            answer = await keyed.gateway.client.request(method, f"/admin{path}", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (method, path, code)
    assert len((await keyed.admin("GET", "/audit")).json()["data"]) == 2


async def test_a_method_that_a_path_does_not_take_is_told_all_that_it_does(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    for path, allowed in (("/keys", "GET, POST"), (f"/keys/{made['id']}", "DELETE, GET, PATCH"), ("/audit", "GET")):
        answer = await keyed.gateway.client.put(f"/admin{path}", headers=ADMIN, json={})
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_nobody_makes_themselves_an_administrator(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    patch = await keyed.admin("PATCH", f"/keys/{made['id']}", json={"role": "admin"})
    assert patch.status_code == 400
    own = {"authorization": f"Bearer {made['key']}", **JSON}
    for body in ({"role": "admin"}, {"budget": None}, {"pins": True}):
        answer = await keyed.gateway.client.patch(f"/admin/keys/{made['id']}", headers=own, json=body)
        assert answer.status_code == 403


async def test_a_word_in_the_database_makes_no_administrator(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    with sqlite3.connect(keyed.gateway.database) as connection:
        connection.execute("UPDATE keys SET role = 'admin', version = version + 1")
    connection.close()

    async def is_refused() -> bool:
        keyed.gateway.clock.advance(1.0)
        return await keyed.status(made["key"]) == 401

    await eventually(is_refused, "the key opens nothing any more")
    answer = await keyed.gateway.client.get("/admin/keys", headers={"authorization": f"Bearer {made['key']}"})
    assert answer.status_code == 401
    assert (await keyed.admin("GET", f"/keys/{made['id']}")).json()["role"] == "admin"


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        pytest.param({}, 401, "GATEWAY_ADMIN_KEY", id="without any key"),
        pytest.param({"key": "sk-caller"}, 401, "GATEWAY_ADMIN_KEY", id="without an admin's key"),
        pytest.param({"admin_key": ADMIN_KEY}, 409, "GATEWAY_KEY_PEPPER", id="without a pepper"),
    ],
)
async def test_a_gateway_that_keeps_no_keys_makes_none(
    settings: dict[str, str], status: int, says: str, tmp_path: Path, empty_ledger: Path
) -> None:
    async with served(ROUTES, tmp_path, empty_ledger, environ={}, **settings) as gateway:
        answer = await gateway.client.post("/admin/keys", headers=ADMIN, json={"name": "forum-app"})
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


async def test_while_the_database_is_away_nothing_is_done_and_said_so(tmp_path: Path, empty_ledger: Path) -> None:
    async with running(tmp_path, empty_ledger) as keyed:
        made = await keyed.made(name="forum-app")
        keyed.gateway.database.rename(tmp_path / "away.db")
        for method, path in PATHS:
            path = path.replace(UNKNOWN, made["id"])
            body = {"json": {"name": "x"} if path == "/keys" else {}} if method[0] == "P" else {}
            answer = await keyed.admin(method, path, **body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable"), path
            assert "retry-after" in answer.headers
        assert await keyed.status(made["key"]) == 200
