"""Keys over HTTP: made, rotated, ended and expired while the gateway runs; wrong ones; and keys of routes.yaml."""

import json
import os
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from declared_keys import PEPPER, as_, declared
from fake_provider import FakeProvider
from served_gateway import Serve, ServedGateway, eventually

from gateway.api.guard import WRONG_KEYS_A_MINUTE

ADMIN = {"authorization": "Bearer the-admins"}
SETTINGS: dict[str, Any] = {
    "admin_key": "the-admins",
    "key_pepper": PEPPER,
    "environ": {"GATEWAY_KEY_PEPPER": PEPPER},
}
SOON_S = 5.0


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def status(gateway: ServedGateway, key: str) -> int:
    return (await gateway.chat(headers=bearer(key))).status_code


async def made(gateway: ServedGateway, **fields: Any) -> Any:
    answer = await gateway.client.post("/admin/keys", json=fields, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_key_counts_from_when_it_is_shown_until_it_is_revoked(serve: Serve) -> None:
    gateway = await serve(**SETTINGS)
    key = await made(gateway, name="forum-app", team="forum", tags={"tenant": "acme"})
    assert await status(gateway, key["key"]) == 200
    assert await status(gateway, key["key"][:-1]) == 401

    revoked = await gateway.client.delete(f"/admin/keys/{key['id']}", headers=ADMIN)
    assert revoked.status_code == 200
    assert await status(gateway, key["key"]) == 401, "no poll was waited for: nobody moved the clock"

    (row,) = await gateway.rows(1)
    assert (row.key, row.team, json.loads(row.tags)) == ("forum-app", "forum", {"tenant": "acme"})


async def test_a_rotated_key_is_two_until_its_grace_is_over(serve: Serve) -> None:
    gateway = await serve(**SETTINGS)
    key = await made(gateway, name="forum-app")
    rotated = await gateway.client.post(f"/admin/keys/{key['id']}/rotate", json={"grace_s": 60}, headers=ADMIN)
    old, new = key["key"], rotated.json()["key"]
    assert (await status(gateway, old), await status(gateway, new)) == (200, 200)
    gateway.clock.advance(60)
    assert (await status(gateway, old), await status(gateway, new)) == (401, 200)
    assert {row.key for row in await gateway.rows_of_callers(3)} == {"forum-app"}


async def test_a_key_that_expires_is_refused_at_once(serve: Serve) -> None:
    gateway = await serve(**SETTINGS)
    ends = gateway.clock.now() + timedelta(hours=1)
    key = await made(gateway, name="guest", expires_at=ends.isoformat())
    assert await status(gateway, key["key"]) == 200
    gateway.clock.advance(3601)
    assert await status(gateway, key["key"]) == 401


async def test_a_role_opens_its_own_paths(serve: Serve) -> None:
    gateway = await serve(**SETTINGS)
    observer = bearer((await made(gateway, name="prometheus", role="observer"))["key"])
    caller = bearer((await made(gateway, name="forum-app"))["key"])
    found = {
        path: [(await gateway.client.get(path, headers=who)).status_code for who in (observer, caller, ADMIN)]
        for path in ("/metrics", "/v1/models", "/admin/keys", "/openapi.json", "/nowhere")
    }
    assert found == {
        "/metrics": [200, 403, 200],
        "/v1/models": [403, 200, 200],
        "/admin/keys": [403, 403, 200],
        "/openapi.json": [403, 200, 200],
        "/nowhere": [404, 404, 404],
    }


# What is wrong.


async def test_a_401_is_the_same_for_whatever_key_and_is_counted(serve: Serve) -> None:
    gateway = await serve(**SETTINGS)
    key = await made(gateway, name="forum-app")
    await gateway.client.delete(f"/admin/keys/{key['id']}", headers=ADMIN)
    answers = [
        await gateway.chat(headers={**said, "x-request-id": "same"})
        for said in (bearer(key["key"]), bearer("wrong"), bearer("x" * 4000), {"api-key": "wrong"})
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    gateway.client.headers.update(ADMIN)
    assert await gateway.metric("gateway_auth_failures_total") == 4


async def test_too_many_wrong_keys_are_told_so_and_counted_and_a_right_one_is_served(serve: Serve) -> None:
    gateway = await serve(**SETTINGS)
    key = (await made(gateway, name="forum-app"))["key"]
    answers = [await gateway.chat(headers=bearer(f"guess-{n}")) for n in range(WRONG_KEYS_A_MINUTE + 5)]
    assert [answer.status_code for answer in answers] == [401] * WRONG_KEYS_A_MINUTE + [429] * 5
    last = answers[-1]
    assert last.json()["error"]["code"] == "too_many_failures"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert await status(gateway, key) == 200
    assert (await gateway.client.get("/v1/models", headers=bearer("guess"))).status_code == 429, "wherever it is tried"
    gateway.clock.advance(61)
    assert await status(gateway, "guess") == 401
    gateway.client.headers.update(ADMIN)
    assert await gateway.metric("gateway_auth_failures_total") == WRONG_KEYS_A_MINUTE + 7


async def test_a_key_in_the_url_and_a_second_one_are_refused_and_stand_in_no_log(
    serve: Serve, provider: FakeProvider, capfd: pytest.CaptureFixture[str]
) -> None:
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    gateway = await serve(log_fd=writes, **SETTINGS)
    key = (await made(gateway, name="forum-app"))["key"]
    body = {"model": "reply", "messages": [{"role": "user", "content": "hi"}]}
    tried: list[httpx.Response] = [
        await gateway.client.post(f"/v1/chat/completions?{name}={key}", json=body, headers=bearer(key))
        for name in ("key", "api_key", "access_token")
    ]
    tried.append(await gateway.client.get(f"/v1/models?key={key}"))
    tried.append(await gateway.chat(headers=bearer(key) | {"api-key": key}))
    assert [answer.status_code for answer in tried] == [400] * 5
    assert [answer.json()["error"]["code"] for answer in tried] == ["invalid_request"] * 4 + ["two_credentials"]
    assert all("Authorization" in answer.json()["error"]["message"] for answer in tried)
    assert provider.chats() == []

    logged = bytearray()

    def there() -> bool:
        with suppress(BlockingIOError):
            logged.extend(os.read(reads, 1 << 20))
        return logged.count(b"\n") >= 6

    await eventually(there, "six requests are logged")
    os.close(reads)
    out, err = capfd.readouterr()
    secret = key[12:]
    for text in (logged.decode(), out, err, *(answer.text for answer in tried)):
        assert secret not in text


# Keys of routes.yaml.


async def test_keys_of_routes_yaml_come_and_go_with_the_file(serve: Serve) -> None:
    keys = declared(one={"team": "ones"}, two={"role": "observer"}, three={"expires": "2020-01-01"})
    gateway = await serve(more_sections={"keys": keys}, **SETTINGS)
    assert (await gateway.chat(headers=as_("one"))).status_code == 200
    assert (await gateway.chat(headers=as_("two"))).status_code == 403
    assert (await gateway.chat(headers=as_("three"))).status_code == 401

    file = gateway.database.parent / "config" / "routes.yaml"
    routes = json.loads(file.read_text())
    file.write_text(json.dumps(routes | {"keys": {"one": {"digest": "us_oneeeeee_not-a-digest"}}}))
    gateway.client.headers.update(ADMIN)

    async def refused() -> bool:
        return (await gateway.client.get("/readyz")).json()["config_error"] is not None

    await eventually(refused, "the broken file is refused")
    assert "not-a-digest" not in (await gateway.client.get("/readyz")).text
    assert (await gateway.chat(headers=as_("one"))).status_code == 200, "the last good one stays"

    file.write_text(json.dumps(routes | {"keys": declared(four={})}))

    async def replaced() -> bool:
        return (await gateway.chat(headers=as_("four"))).status_code == 200

    await eventually(replaced, "the new key counts", SOON_S)
    assert (await gateway.chat(headers=as_("one"))).status_code == 401


async def test_a_file_that_brings_keys_to_a_gateway_without_a_pepper_is_refused(serve: Serve) -> None:
    gateway = await serve()
    file = gateway.database.parent / "config" / "routes.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"keys": declared(one={})}))

    async def refused() -> bool:
        return "GATEWAY_KEY_PEPPER" in ((await gateway.client.get("/readyz")).json()["config_error"] or "")

    await eventually(refused, "the file is refused")
    assert (await gateway.chat()).status_code == 200


async def test_a_gateway_open_to_anybody_takes_pages_of_its_own_origin_alone(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = await serve(host="0.0.0.0", open=True)
    said = "".join(capfd.readouterr())
    assert "open_to_anybody" in said
    found = [
        (await gateway.chat(headers={"host": "gateway.internal", **origin})).status_code
        for origin in ({}, {"origin": "http://gateway.internal"}, {"origin": "https://evil.example"})
    ]
    assert found == [200, 200, 403]
    answer = await gateway.client.get("/admin/keys", headers={"host": "gateway.internal"})
    assert (answer.status_code, "GATEWAY_ADMIN_KEY" in answer.text) == (401, True)
