"""Keys on real replicas and a real PostgreSQL: ended everywhere in time, and no key called wrong while it is away."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import RunningGateway, running_gateway
from postgres_server import RunningPostgres, running_postgres
from replica_rig import write_routes
from sandbox_server import running_sandbox

pytestmark = pytest.mark.rig

ADMIN = {"authorization": "Bearer the-admins-own"}
SECRETS = {"GATEWAY_KEY_PEPPER": "pepper-of-a-rig-that-nobody-else-has", "GATEWAY_ADMIN_KEY": "the-admins-own"}
EVERYWHERE_S = 5.0
HERE_S = 1.0
BACK_S = 5.0
AWAY_S = 6.0
PATIENCE_S = 30.0
REFUSED = (401, 429)
"""A wrong key's answer, and that of one after many."""


@pytest.fixture
def own_postgres() -> Iterator[RunningPostgres]:
    """A server that a story may stop."""
    with running_postgres() as server:
        yield server


class Fleet:
    """Gateways on one database, each with a directory of its own."""

    def __init__(self, stack: ExitStack, routes: Path, directory: Path, database_url: str) -> None:
        self._stack, self._routes, self._directory, self._url = stack, routes, directory, database_url
        self.client = stack.enter_context(httpx.Client(trust_env=False, timeout=10))

    def start(self, name: str, *, wait: bool = True, ends_with: ExitStack | None = None) -> RunningGateway:
        state = self._directory / name
        state.mkdir(exist_ok=True)
        started = (ends_with or self._stack).enter_context(
            running_gateway(self._routes, state, database_url=self._url, wait=wait, **SECRETS)
        )
        if not wait:
            _until(lambda: self._answers(started), "it answers", PATIENCE_S)
        return started

    def status(self, gateway: RunningGateway, key: str) -> int:
        answer = self.client.post(
            f"{gateway.v1}/chat/completions",
            json={"model": "reply", "messages": [{"role": "user", "content": "hi"}]},
            headers={"authorization": f"Bearer {key}"},
        )
        return answer.status_code

    def admin(self, gateway: RunningGateway, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, f"{gateway.url}/admin/{path}", json=body, headers=ADMIN)
        assert answer.is_success, answer.text
        return answer.json()

    def reasons(self, gateway: RunningGateway) -> list[str]:
        reasons: list[str] = self.client.get(f"{gateway.url}/readyz").json()["reasons"]
        return reasons

    def _answers(self, gateway: RunningGateway) -> bool:
        try:
            return self.client.get(f"{gateway.url}/healthz").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def fleet(own_postgres: RunningPostgres, tmp_path: Path) -> Iterator[Fleet]:
    with running_sandbox() as sandbox, ExitStack() as stack:
        routes = write_routes(tmp_path, sandbox.base_url, {"reply": "gpt-4o-mini"})
        yield Fleet(stack, routes, tmp_path, own_postgres.migrated_database())


def test_a_revoked_key_is_refused_everywhere_in_time(fleet: Fleet) -> None:
    here, there = fleet.start("here"), fleet.start("there")
    slowest = {"made": 0.0, "revoked here": 0.0, "revoked there": 0.0}
    for number in range(10):
        key = fleet.admin(here, "POST", "keys", {"name": f"app-{number}"})
        assert fleet.status(here, key["key"]) == 200
        made_s = _until(lambda key=key: fleet.status(there, key["key"]) == 200, "it counts there", EVERYWHERE_S)
        began = time.monotonic()
        fleet.admin(here, "DELETE", f"keys/{key['id']}")
        assert fleet.status(here, key["key"]) in REFUSED
        here_s = time.monotonic() - began
        there_s = _until(
            lambda key=key: fleet.status(there, key["key"]) in REFUSED, "it is refused there", EVERYWHERE_S
        )
        for what, seconds in zip(slowest, (made_s, here_s, there_s + here_s), strict=True):
            slowest[what] = max(slowest[what], seconds)
    print(f"slowest of 10, in seconds: {json.dumps({what: round(s, 2) for what, s in slowest.items()})}")
    assert slowest["revoked here"] <= HERE_S
    assert slowest["revoked there"] <= EVERYWHERE_S


def test_with_the_database_stopped_known_keys_go_on_and_no_key_is_called_wrong_that_may_be_right(
    fleet: Fleet, own_postgres: RunningPostgres, tmp_path: Path
) -> None:
    goes_on = fleet.start("goes-on")
    with ExitStack() as first_life:
        restarted = fleet.start("restarted", ends_with=first_life)
        key = fleet.admin(goes_on, "POST", "keys", {"name": "forum-app"})["key"]
        _until(lambda: fleet.status(restarted, key) == 200, "it counts on both", EVERYWHERE_S)
        kept = tmp_path / "restarted" / "journals" / "keys.jsonl"
        _until(lambda: b"forum-app" in kept.read_bytes(), "it is kept", PATIENCE_S)
    own_postgres.stop()
    restarted, fresh = fleet.start("restarted", wait=False), fleet.start("fresh", wait=False)

    away_until = time.monotonic() + AWAY_S
    while time.monotonic() < away_until:
        assert fleet.status(goes_on, key) == 200
        assert fleet.status(goes_on, "wrong") in REFUSED
        assert fleet.status(restarted, key) == 200
        assert fleet.status(restarted, "wrong") == 503
        assert fleet.status(fresh, key) == 503
        time.sleep(0.2)
    assert [why for why in fleet.reasons(restarted) if why.startswith("keys")] == []
    assert [why for why in fleet.reasons(fresh) if why.startswith("keys")] != []

    own_postgres.start()
    back_s = _until(lambda: fleet.status(fresh, key) == 200, "the fresh one knows the key", BACK_S)
    back_s += _until(lambda: fleet.status(restarted, "wrong") in REFUSED, "the restarted one knows all", BACK_S)
    print(f"keys were back {back_s:.1f} s after the database")
    assert back_s <= BACK_S
    assert fleet.status(fresh, "wrong") in REFUSED


def _until(condition: Any, what: str, within_s: float) -> float:
    """Wait until something holds; return how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began
