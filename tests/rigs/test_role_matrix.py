"""Role × route × field: nobody reads or changes what is not theirs, or makes themselves more than they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.config.key_fields import KeyChanges, NewKey
from tests.gateway_server import running_gateway
from tests.sandbox_server import running_sandbox

pytestmark = pytest.mark.rig

KEY, ADMIN_KEY, PEPPER = "the-default-key", "the-admin-key-itself", "pepper-of-the-matrix-0123456789abcdef"
ROUTES = """
version: 1
providers: {{stand-in: {{kind: sandbox, base_url: {base_url}}}}}
prices: {{stand-in: {{gpt-6-luna: {{input_usd_per_1m: 1, output_usd_per_1m: 4, source: the matrix}}}}}}
defaults: {{provider: stand-in}}
routes:
  reply: {{primary: {{model: gpt-6-luna}}}}
  triage: {{primary: {{model: gpt-6-luna}}}}
"""
REFUSED, FORBIDDEN = {401, 429}, {403}  # 429: one address has sent many wrong keys by then
CALLERS = ("of_reply", "of_triage")
STRANGERS = ("nobody", "wrong", "expired", "revoked")
EVERY = ("admin", "default", "observer", "reviewer", *CALLERS, *STRANGERS)
# By the beginning of a path: who is let in. Everybody else is refused by whom they are: strangers 401, others 403.
LET_IN = {
    "/v1/": {"admin", "default", *CALLERS},
    "/openapi.json": {"admin", "default", *CALLERS},
    "/admin/": {"admin"},
    "/metrics": {"admin", "default", "observer"},
    "/healthz": set(EVERY),
    "/readyz": set(EVERY),
}
# One wish for each field that a key has; each is more than the caller of the matrix has.
WISHES: dict[str, Any] = {
    "name": "another-name",
    "role": "observer",
    "owner": "somebody",
    "team": "theirs",
    "tags": {"tenant": "globex"},
    "routes": ["*"],
    "pins": True,
    "residency": "us",
    "expires_at": "2199-01-01T00:00:00Z",
    "budget": {"day_usd": 1_000_000},
    "requests_per_minute": 1_000_000,
    "tokens_per_minute": 1_000_000,
    "max_output_tokens": 1_000_000,
    "capture": True,
}


@dataclass(frozen=True)
class Matrix:
    url: str
    keys: dict[str, str]
    """Role → the text of its key."""
    ids: dict[str, str]
    client: httpx.Client

    def ask(self, role: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role in self.keys else {}
        return self.client.request(method, self.url + path, headers=headers, **more)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    directory = tmp_path_factory.mktemp("matrix")
    with running_sandbox() as sandbox:
        routes = Path(directory / "routes.yaml")
        routes.write_text(ROUTES.format(base_url=sandbox.base_url))
        secrets = {"GATEWAY_KEY": KEY, "GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_KEY_PEPPER": PEPPER}
        with (
            running_gateway(routes, directory, **secrets) as gateway,
            httpx.Client(trust_env=False, timeout=30) as client,
        ):
            yield with_keys(gateway.url, client)


def with_keys(url: str, client: httpx.Client) -> Matrix:
    made = Matrix(url, {"admin": ADMIN_KEY, "default": KEY, "wrong": "us_00000000_" + "0" * 43}, {}, client)
    limits = {"budget": {"day_usd": 1}, "requests_per_minute": 1000, "tokens_per_minute": 1_000_000}
    wanted: dict[str, dict[str, Any]] = {
        "of_reply": {"routes": ["reply"], "tags": {"tenant": "acme"}, **limits},
        "of_triage": {"routes": ["triage"]},
        "observer": {"role": "observer"},
        "reviewer": {"role": "reviewer"},
        "expired": {"expires_at": "2020-01-01T00:00:00Z"},
        "revoked": {},
        "spare": {},
    }
    for role, fields in wanted.items():
        answer = made.ask("admin", "POST", "/admin/keys", json={"name": role, **fields})
        assert answer.status_code == 201, answer.text
        made.keys[role], made.ids[role] = answer.json()["key"], answer.json()["id"]
    assert made.ask("admin", "DELETE", f"/admin/keys/{made.ids['revoked']}").status_code == 200
    return made


def test_who_is_let_in_where(matrix: Matrix, subtests: pytest.Subtests) -> None:
    document = matrix.ask("admin", "GET", "/openapi.json").json()
    for path, operations in {**document["paths"], "/openapi.json": {"get": {}}}.items():
        beginning = next(start for start in LET_IN if path.startswith(start))
        filled = path.replace("{key_id}", matrix.ids["spare"]).replace("{", "").replace("}", "")
        for method in operations:
            for role in EVERY:
                if role == "admin" and method == "delete" and beginning == "/admin/":
                    continue  # It may, and the key is needed further on.
                with subtests.test(f"{role} {method} {path}"):
                    body = {"json": {}} if method in ("post", "patch", "put") else {}
                    status = matrix.ask(role, method.upper(), filled, **body).status_code
                    if role in LET_IN[beginning]:
                        assert status not in REFUSED | FORBIDDEN
                    else:
                        assert status in (REFUSED if role in STRANGERS else FORBIDDEN)


def test_pages_are_for_the_admin_and_of_them_the_review_for_reviewers(
    matrix: Matrix, subtests: pytest.Subtests
) -> None:
    for path in ("/ui", "/ui/keys", "/ui/cost", "/ui/requests", "/ui/review", "/ui/calendar", "/ui/routes/reply"):
        opened = {"admin", "reviewer"} if path == "/ui/review" else {"admin"}
        for role in EVERY:
            with subtests.test(f"{role} {path}"):
                assert (matrix.ask(role, "GET", path).status_code == 200) is (role in opened)


def test_no_key_changes_a_key(matrix: Matrix, subtests: pytest.Subtests) -> None:
    assert set(WISHES) == set(NewKey.model_fields), "a wish for each field"
    assert set(KeyChanges.model_fields) <= set(WISHES)
    before = matrix.ask("admin", "GET", "/admin/keys").json()
    for role in (*CALLERS, "observer", "reviewer", "default", *STRANGERS):
        for field, wish in WISHES.items():
            for whose in ("of_reply", "of_triage"):
                with subtests.test(f"{role} wants {field} of {whose}"):
                    path = f"/admin/keys/{matrix.ids[whose]}"
                    answer = matrix.ask(role, "PATCH", path, json={field: wish})
                    assert answer.status_code in REFUSED | FORBIDDEN
                    made = matrix.ask(role, "POST", "/admin/keys", json={"name": "minted", field: wish})
                    assert made.status_code in REFUSED | FORBIDDEN
    assert matrix.ask("admin", "GET", "/admin/keys").json() == before


@pytest.mark.parametrize("field", ["role", "id", "key", "digest", "created_by", "is_admin"])
def test_not_even_an_admin_makes_an_admin_or_sets_what_is_nobodys_to_set(matrix: Matrix, field: str) -> None:
    wish = {field: "admin"}
    assert matrix.ask("admin", "POST", "/admin/keys", json={"name": "more", **wish}).status_code == 400
    assert matrix.ask("admin", "PATCH", f"/admin/keys/{matrix.ids['of_reply']}", json=wish).status_code == 400


def test_a_key_sees_and_calls_its_own_routes_alone(matrix: Matrix) -> None:
    seen = {role: {row["id"] for row in matrix.ask(role, "GET", "/v1/models").json()["data"]} for role in CALLERS}
    assert seen == {"of_reply": {"reply"}, "of_triage": {"triage"}}
    for role, own, other in (("of_reply", "reply", "triage"), ("of_triage", "triage", "reply")):
        assert chat(matrix, role, own).status_code == 200
        refused, absent = chat(matrix, role, other), chat(matrix, role, "no-such-route")
        assert (refused.status_code, absent.status_code) == (404, 404)
        assert refused.json()["error"]["code"] == absent.json()["error"]["code"] == "route_not_found"
        assert matrix.ask(role, "GET", f"/v1/models/{other}").status_code == 404
        assert chat(matrix, role, f"{own}@primary").json()["error"]["code"] == "pin_not_allowed"


def test_what_one_key_stored_no_other_reads_continues_or_deletes(matrix: Matrix) -> None:
    stored = matrix.ask("of_reply", "POST", "/v1/responses", json={"model": "reply", "input": "Hello", "store": True})
    assert stored.status_code == 200, stored.text
    id_ = stored.json()["id"]
    for method, path in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
        assert matrix.ask("of_triage", method, f"/v1/responses/{id_}{path}").status_code == 404
    continued = {"model": "triage", "input": "And?", "previous_response_id": id_}
    assert matrix.ask("of_triage", "POST", "/v1/responses", json=continued).status_code in (400, 404)
    assert matrix.ask("of_reply", "GET", f"/v1/responses/{id_}").status_code == 200


def test_what_one_key_was_answered_no_key_of_another_tenant_marks(matrix: Matrix) -> None:
    asked = chat(matrix, "of_reply", "reply").headers["x-request-id"]
    given = {"request_id": asked, "label": "wrong"}
    refused = matrix.ask("of_triage", "POST", "/v1/feedback", json=given)
    absent = matrix.ask("of_triage", "POST", "/v1/feedback", json={**given, "request_id": "nobody-has-this"})
    assert (refused.status_code, absent.status_code) == (404, 404)
    assert refused.json()["error"]["message"] == absent.json()["error"]["message"]
    assert matrix.ask("default", "POST", "/v1/feedback", json=given).status_code == 404
    taken = matrix.ask("of_reply", "POST", "/v1/feedback", json={**given, "correction": "Better."})
    assert (taken.status_code, taken.json()["becomes"], "capture" in taken.json()["note"]) == (200, [], True)


def chat(matrix: Matrix, role: str, model: str) -> httpx.Response:
    messages = [{"role": "user", "content": "Hello"}]
    return matrix.ask(role, "POST", "/v1/chat/completions", json={"model": model, "messages": messages})
