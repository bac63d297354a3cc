"""Keys over the admin API: made, used, changed, rotated and revoked, and what nobody is ever shown."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import Run, run
from viewed_gateway import ROUTES

from gateway.config.callers import Budget, Caller
from gateway.store.database import Database
from gateway.store.keys import KeyStore
from tests.api.keyed_gateway import ADMIN, NOW, PEPPER, Keyed, running
from tests.faults.served_gateway import StoryClock, eventually

__all__ = ["run"]
TEXT = re.compile(r"us_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
IN_GIT = "us_ingit000_" + "g" * 43


async def test_a_key_is_made_used_rotated_and_revoked(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app", owner="support", routes=["reply"], tags={"tenant": "acme"})
    first = made["key"]
    assert TEXT.fullmatch(first)
    assert first.split("_")[1] == made["id"].removeprefix("key_")
    assert await keyed.status(first) == 200
    rotated = (await keyed.admin("POST", f"/keys/{made['id']}/rotate", json={"grace_s": 60})).json()
    second = rotated["key"]
    assert second != first
    assert rotated["old_key_valid_until"].startswith("2026-11-29T12:3")
    assert [await keyed.status(key) for key in (first, second)] == [200, 200]
    keyed.gateway.clock.advance(61.0)
    assert [await keyed.status(key) for key in (first, second)] == [401, 200]
    revoked = await keyed.admin("DELETE", f"/keys/{made['id']}")
    assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    assert await keyed.status(second) == 401


async def test_a_key_made_and_revoked_by_command_is_followed_at_the_next_poll(
    keyed: Keyed, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY_PEPPER", PEPPER)
    database = ("--database", f"sqlite:///{keyed.gateway.database}")
    made = await asyncio.to_thread(run, "keys", "create", "forum-app", *database)
    assert made.code == 0, made.err

    async def answers(status: int) -> bool:
        keyed.gateway.clock.advance(1.0)
        return await keyed.status(made.out.strip()) == status

    await eventually(lambda: answers(200), "the key is taken")
    assert (await asyncio.to_thread(run, "keys", "revoke", "forum-app", *database)).code == 0
    await eventually(lambda: answers(401), "the key is refused")


async def test_without_grace_the_key_before_is_refused_at_once(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    rotated = await keyed.admin("POST", f"/keys/{made['id']}/rotate", headers={"content-type": "application/json"})
    assert rotated.status_code == 200
    assert rotated.json()["old_key_valid_until"] is None
    assert [await keyed.status(key) for key in (made["key"], rotated.json()["key"])] == [401, 200]


async def test_a_key_that_expires_is_refused_from_then_on(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app", expires_at=(NOW + timedelta(minutes=5)).isoformat())
    assert await keyed.status(made["key"]) == 200
    keyed.gateway.clock.advance(300.0)
    assert await keyed.status(made["key"]) == 401
    assert (await keyed.admin("GET", f"/keys/{made['id']}")).json()["status"] == "expired"


async def test_what_is_changed_is_what_was_sent(keyed: Keyed) -> None:
    made = await keyed.made(
        name="forum-app", budget={"day_usd": 0.1, "month_usd": 3}, tags={"tenant": "acme", "feature": "a"}, pins=True
    )
    patch = {"budget": {"day_usd": None, "total_usd": 1.5}, "tags": {"feature": None, "env": "prod"}, "owner": "ada"}
    changed = await keyed.admin("PATCH", f"/keys/{made['id']}", json=patch)
    assert changed.status_code == 200
    same = {name: value for name, value in made.items() if name not in ("key", "budget", "tags", "owner")}
    expected = {"budget": {"day_usd": None, "month_usd": 3, "total_usd": 1.5}, "owner": "ada"}
    assert changed.json() == same | expected | {"tags": {"tenant": "acme", "env": "prod"}}
    cleared = await keyed.admin("PATCH", f"/keys/{made['id']}", json={"budget": None, "tags": None, "owner": None})
    assert [cleared.json()[name] for name in ("budget", "tags", "owner", "pins")] == [None, None, None, True]


async def test_two_changes_at_once_both_hold(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app")
    patches = ({"owner": "ada"}, {"team": "forum"}, {"requests_per_minute": 5}, {"budget": {"day_usd": 1}})
    done = await asyncio.gather(*(keyed.admin("PATCH", f"/keys/{made['id']}", json=patch) for patch in patches))
    assert {answer.status_code for answer in done} == {200}
    key = (await keyed.admin("GET", f"/keys/{made['id']}")).json()
    assert (key["owner"], key["team"], key["requests_per_minute"], key["budget"]["day_usd"]) == ("ada", "forum", 5, 1)


async def test_what_is_said_of_a_key_is_what_its_caller_may(keyed: Keyed) -> None:
    bounds = {"requests_per_minute": 60, "tokens_per_minute": 9000, "max_output_tokens": 100}
    said = {"owner": "support", "team": "forum", "routes": ["re*"], "pins": True, "residency": "eu", "capture": True}
    made = await keyed.made(
        name="forum-app", tags={"tenant": "acme"}, budget={"total_usd": 2.5}, expires_at="2027-06-01", **said, **bounds
    )
    database = await Database.open(f"sqlite:///{keyed.gateway.database}")
    try:
        row = await KeyStore(database, StoryClock()).find(made["id"])
    finally:
        await database.close()
    assert row is not None
    assert row.caller == Caller(
        made["id"],
        "forum-app",
        tags={"tenant": "acme"},
        budget=Budget(total_nanousd=2_500_000_000),
        expires_at=datetime(2027, 6, 1, tzinfo=UTC),
        **{name: tuple(value) if isinstance(value, list) else value for name, value in said.items()},
        **bounds,
    )


async def test_keys_are_listed_in_pages_by_their_names(keyed: Keyed) -> None:
    for name in ("c", "a", "d", "b"):
        made = await keyed.made(name=name)
    await keyed.admin("DELETE", f"/keys/{made['id']}")
    first = (await keyed.admin("GET", "/keys", params={"limit": 2})).json()
    assert ([key["name"] for key in first["data"]], first["has_more"], first["next_after"]) == (["a", "c"], True, "c")
    second = (await keyed.admin("GET", "/keys", params={"limit": 2, "after": "c"})).json()
    assert ([key["name"] for key in second["data"]], second["has_more"], second["next_after"]) == (["d"], False, None)
    everything = (await keyed.admin("GET", "/keys", params={"revoked": True})).json()
    assert [(key["name"], key["status"]) for key in everything["data"]][1] == ("b", "revoked")


async def test_a_key_of_routes_yaml_is_shown_and_not_changed(tmp_path: Path, empty_ledger: Path) -> None:
    digest = hmac.digest(PEPPER.encode(), IN_GIT.encode(), "sha256").hex()
    routes = {**ROUTES, "keys": {"in-git": {"digest": f"hmac-sha256:{digest}", "owner": "ada"}}}
    async with running(tmp_path, empty_ledger, routes) as keyed:
        assert await keyed.status(IN_GIT) == 200
        (listed,) = (await keyed.admin("GET", "/keys")).json()["data"]
        assert (listed["id"], listed["declared_in"], listed["owner"]) == ("yaml:in-git", "routes.yaml", "ada")
        assert (await keyed.admin("GET", "/keys/yaml:in-git")).json() == listed
        for method, path in (("PATCH", ""), ("POST", "/rotate"), ("DELETE", "")):
            refused = await keyed.admin(method, f"/keys/yaml:in-git{path}", json={})
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
            assert "change it there" in refused.text
        taken = await keyed.admin("POST", "/keys", json={"name": "in-git"})
        assert (taken.status_code, taken.json()["error"]["param"]) == (409, "name")
        assert await keyed.status(IN_GIT) == 200


async def test_every_change_is_in_the_audit_newest_first(keyed: Keyed) -> None:
    made = await keyed.made(name="forum-app", budget={"day_usd": 1})
    other = await keyed.made(name="other")
    await keyed.admin("PATCH", f"/keys/{made['id']}", json={"budget": {"day_usd": 2}})
    await keyed.admin("PATCH", f"/keys/{made['id']}", json={"budget": {"day_usd": 2}})
    await keyed.admin("POST", f"/keys/{made['id']}/rotate", json={})
    await keyed.admin("DELETE", f"/keys/{made['id']}")
    of_one = (await keyed.admin("GET", "/audit", params={"subject": made["id"]})).json()["data"]
    assert [row["action"] for row in of_one] == ["key_revoked", "key_rotated", "key_changed", "key_created"]
    assert {(row["by"], row["through"]) for row in of_one} == {("admin", "api")}
    assert of_one[2]["changes"] == {"day_nanousd": [1_000_000_000, 2_000_000_000]}
    page = (await keyed.admin("GET", "/audit", params={"limit": 3})).json()
    assert page["has_more"]
    rest = (await keyed.admin("GET", "/audit", params={"before": page["next_before"]})).json()
    assert [row["subject"] for row in rest["data"]] == [other["id"], made["id"]]
    assert (rest["has_more"], rest["next_before"]) == (False, None)


def bytes_below(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_a_key_is_in_no_output_but_the_answer_that_made_it(
    keyed: Keyed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await keyed.admin("POST", "/keys", json={"name": "forum-app"})
    assert made.headers["cache-control"] == "no-store"
    key_id, first = made.json()["id"], made.json()["key"]
    rotated = await keyed.admin("POST", f"/keys/{key_id}/rotate", json={"grace_s": 3600})
    second = rotated.json()["key"]
    for key in (first, second):
        assert await keyed.status(key) == 200
        await keyed.gateway.chat(headers={"authorization": f"Bearer {key}"})
    await keyed.gateway.chat(headers={"authorization": f"Bearer {second[:-1]}"})
    pages = ("/admin/keys", f"/admin/keys/{key_id}", "/admin/audit", "/metrics", "/openapi.json", "/v1/models")
    answers = [await keyed.gateway.client.get(path, headers=ADMIN) for path in pages]
    assert {answer.status_code for answer in answers} == {200}
    said = "".join(answer.text + str(answer.headers) for answer in answers) + "".join(capfd.readouterr())
    kept = bytes_below(tmp_path)
    assert b"forum-app" in kept
    for key in (first, second):
        digest = hmac.digest(PEPPER.encode(), key.encode(), hashlib.sha256).hex()
        secret = key.split("_", 2)[2]
        for form in (secret, base64.b64encode(key.encode()).decode()[:40], key.encode().hex()[30:]):
            assert form not in said
            assert form.encode() not in kept
        assert digest not in said
    assert PEPPER not in said
    assert PEPPER.encode() not in kept


async def test_the_log_names_whose_key_changed_what(tmp_path: Path, empty_ledger: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as lines, os.fdopen(write, "wb") as sink:
        async with running(tmp_path, empty_ledger, log_requests="all", log_fd=sink.fileno()) as keyed:
            made = await keyed.made(name="forum-app")
            refused = {"authorization": f"Bearer {made['key']}"}
            await keyed.gateway.client.get("/admin/keys", headers=refused)
        sink.close()
        told = [json.loads(line) for line in lines]
    changes = [(row["endpoint"], row["status"], row["key"]) for row in told if row["status"] in (201, 403)]
    assert changes == [("/admin/keys", 201, "admin"), ("_other", 403, None)]
    assert made["key"] not in str(told)
