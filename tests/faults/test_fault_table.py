"""The failure table, row by row over real HTTP: who else may answer, under which word, and what is the caller told?"""

from dataclasses import dataclass
from typing import Any

import pytest
from fake_provider import FakeProvider, Script, refuses, says
from served_gateway import Serve

WORDS = ["gone", "no_access", "connection", "timeout", "overloaded", "server_error", "rate_limited", "quota"]
INNER = "inner-detail-7"
"""In every provider's message: shown only where it is the caller's to mend."""
HTML = {"content-type": "text/html"}


@dataclass(frozen=True)
class Row:
    script: Script
    kind: str
    word: str | None
    """The word of fallback_on that lets another target answer; None: never."""
    status: int
    code: str | None
    type: str = "api_error"
    reason: str = ""
    callers_own: bool = False
    waits: bool = False
    """Whether the caller is told when to come back, instead of not to."""


def upstream(script: Script, kind: str, word: str, status: int, code: str, reason: str = "", **more: Any) -> Row:
    return Row(script, kind, word, status, code, reason=reason or kind, **more)


def own(script: Script, kind: str, status: int, code: str | None) -> Row:
    """The caller's own error, as the provider put it."""
    return Row(script, kind, None, status, code, type="some_error", callers_own=True)


GONE = {"type": "invalid_request_error"}
LATER = {"type": "rate_limit_error", "waits": True}
ROWS = {
    "500": upstream(refuses(500, INNER), "server_error", "server_error", 502, "bad_upstream"),
    "502 from an edge": upstream(
        says(f"<html>{INNER}".encode(), 502, HTML), "overloaded", "overloaded", 503, "upstream_overloaded"
    ),
    "404 from an edge": upstream(
        says(f"<html>{INNER}".encode(), 404, HTML), "server_error", "server_error", 502, "bad_upstream"
    ),
    "404 of a wrong path": upstream(
        says({"detail": "Not Found"}, 404), "server_error", "server_error", 502, "bad_upstream"
    ),
    "503": upstream(refuses(503, INNER), "overloaded", "overloaded", 503, "upstream_overloaded"),
    "529": upstream(refuses(529, INNER), "overloaded", "overloaded", 503, "upstream_overloaded"),
    "504": upstream(refuses(504, INNER), "timeout", "timeout", 504, "upstream_timeout"),
    "408": upstream(refuses(408, INNER), "timeout", "timeout", 504, "upstream_timeout"),
    "401": upstream(
        refuses(401, f"Incorrect API key provided: {INNER}", "invalid_api_key"),
        "authentication", "no_access", 502, "upstream_authentication", "no_access",
    ),
    "403": upstream(refuses(403, INNER), "authentication", "no_access", 502, "upstream_authentication", "no_access"),
    "404 that can mean either": upstream(
        refuses(404, f"The model `{INNER}` does not exist or you do not have access to it.", "model_not_found"),
        "model_ambiguous", "no_access", 404, "model_gone", "suspect", **GONE,
    ),
    "410": upstream(
        refuses(410, f"The model {INNER} has been decommissioned.", "model_decommissioned"),
        "model_gone", "gone", 404, "model_gone", "gone", **GONE,
    ),
    "403 for the model": upstream(
        refuses(403, f"Project {INNER} does not have access to model gpt-x.", "model_not_found"),
        "model_no_access", "no_access", 404, "model_gone", "no_access", **GONE,
    ),
    "429": upstream(
        refuses(429, INNER, "rate_limit_exceeded", {"retry-after": "7"}),
        "rate_limited", "rate_limited", 429, "rate_limit_exceeded", **LATER,
    ),
    "429 for lack of quota": upstream(
        refuses(429, f"You exceeded your current quota. {INNER}", "insufficient_quota", {"retry-after": "7"}),
        "quota", "quota", 429, "rate_limit_exceeded", **LATER,
    ),
    "400": own(
        refuses(400, f"Invalid value for temperature: {INNER}", "invalid_value"), "bad_request", 400, "invalid_value"
    ),
    "422": own(refuses(422, f"messages: field required {INNER}"), "bad_request", 422, None),
    "400 for a long prompt": own(
        refuses(400, f"This model's maximum context length is 8192 tokens. {INNER}", "context_length_exceeded"),
        "context_too_long", 400, "context_length_exceeded",
    ),
    "400 of a content filter": own(
        refuses(400, f"The prompt was filtered by the content management policy. {INNER}", "content_filter"),
        "content_refused", 400, "content_filter",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_a_failure_leads_to_what_its_row_says(serve: Serve, provider: FakeProvider, row: Row) -> None:
    """Each route has an account and a model of its own, so that no failure is remembered for the next."""
    lists = {
        "all": WORDS,
        "none": [],
        "only": [row.word] if row.word else WORDS,
        "others": [word for word in WORDS if word != row.word],
    }
    account = {"kind": "openai-compatible", "base_url": provider.base_url}
    gateway = await serve(
        more_providers=dict.fromkeys([*lists, "alone"], account),
        more_routes={
            **{name: {"provider": name, "primary": f"t-{name}", "fallback_on": words} for name, words in lists.items()},
            "alone": {"provider": "alone", "primary": "t-alone", "fallbacks": []},
        },
    )
    provider.models |= {f"t-{name}": row.script for name in [*lists, "alone"]}
    for name in [*lists, "alone"]:
        answer = await gateway.chat(name)
        if row.word is not None and name in ("all", "only"):
            assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "fallback"), name
            assert (answer.headers["x-gateway-reason"], answer.headers["x-gateway-attempts"]) == (row.reason, "2")
        else:
            assert_refused(answer, row, name)
        assert len(provider.chats(f"t-{name}")) == 1, "nothing that was sent is sent again"
    failed = [r for r in await gateway.rows_of_callers(7 if row.word else 5) if r.outcome == "failed"]
    assert [(r.failure, r.target, r.cost_nanousd, r.usage_source) for r in failed] in (
        [(row.kind, "primary", 0, "none")] * 5,
        # Cut off by its own deadline, or by the provider's: it may have been billed.
        [(row.kind, "primary", None, "interrupted")] * 5,
    )
    assert (row.kind == "timeout") == (failed[0].usage_source == "interrupted")


def assert_refused(answer: Any, row: Row, name: str) -> None:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "request_id"}
    assert (answer.status_code, error["code"], error["type"]) == (row.status, row.code, row.type)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert (answer.headers["x-gateway-route"], answer.headers["x-gateway-attempts"]) == (name, "1")
    assert (INNER in answer.text) == row.callers_own, (
        "text of a provider is shown only where it is the caller's to mend"
    )
    if row.waits:
        assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("7", "7000")
        assert "x-should-retry" not in answer.headers
    else:
        assert answer.headers.get("x-should-retry") == (None if row.callers_own else "false")
        assert "retry-after" not in answer.headers


async def test_only_the_fields_of_openais_shape_pass_in_a_callers_error(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(
        {
            "error": {"message": "bad", "type": "t", "param": "n", "code": None, "innererror": {"key": "sk-1"}},
            "host": "h7",
        },
        400,
    )
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.json()["error"] == {
        "message": "bad",
        "type": "t",
        "param": "n",
        "code": None,
        "request_id": answer.headers["x-request-id"],
    }
    assert set(answer.json()) == {"error"}
    await gateway.rows(1)


async def test_a_stream_that_is_refused_is_refused_with_a_status_and_json(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = refuses(400, "Invalid value", "invalid_value")
    gateway = await serve()
    answer = await gateway.chat(stream=True)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json()["error"]["code"] == "invalid_value"
    assert provider.chats("base") == []
    assert (await gateway.rows(1))[0].stream == 1


async def test_the_last_targets_failure_is_what_the_caller_hears(serve: Serve, provider: FakeProvider) -> None:
    provider.models |= {"tuned": refuses(500, "boom"), "base": refuses(400, "Invalid value", "invalid_value")}
    gateway = await serve()
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_value")
    assert answer.headers["x-gateway-attempts"] == "2"
    assert [row.failure for row in await gateway.rows(2)] == ["server_error", "bad_request"]
