"""What a failure says of its target, and for how long: gone models, refused keys, limits."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from fake_provider import GONE, FakeProvider, answers, in_turn, refuses, says
from served_gateway import Serve, counted, eventually, verified

ENDED = refuses(404, "The model `tuned` has been decommissioned.", "model_decommissioned")


# A model that is gone.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_very_request_that_finds_the_model_gone_is_answered_by_the_fallback(
    serve: Serve, provider: FakeProvider, stream: bool
) -> None:
    gateway = await serve(base={"prompt": {"instructions": "Be the understudy."}})
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
    provider.models["tuned"] = GONE
    provider.listed = ["base"]
    answer = await gateway.chat(stream=stream)
    assert (answer.status_code, answer.headers["x-gateway-reason"]) == (200, "suspect")
    assert provider.chats("base")[0].json["messages"][0] == {"role": "system", "content": "Be the understudy."}
    await verified(gateway)
    for _ in range(5):
        assert (await gateway.chat()).headers["x-gateway-reason"] == "gone"
    assert len(provider.chats("tuned")) == 2, "after the verdict nobody calls it"
    await counted(gateway, "gateway_cutovers_total", 1, route="reply", reason="gone")
    assert await gateway.metric("gateway_cutovers_total") == 1
    # The list itself is polled for dates as well.
    looked = [call.path for call in provider.calls if call.method == "GET" and call.path != "/v1/models"]
    assert looked == ["/v1/models/base", "/v1/models/tuned"], "one verification"
    rows = await gateway.rows(8)
    assert [row.failure for row in rows if row.failure] == ["model_ambiguous"]


async def test_a_model_that_never_answered_this_key_is_not_ours_rather_than_gone(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    provider.listed = ["base"]
    gateway = await serve(more_routes={"alone": {"primary": "tuned", "fallbacks": []}})
    await gateway.chat()
    await verified(gateway)
    assert (await gateway.chat()).headers["x-gateway-reason"] == "no_access"
    refused = await gateway.chat("alone")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_gone")
    assert "'tuned'" in refused.json()["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert len(provider.chats("tuned")) == 1
    await gateway.rows(3)


async def test_a_list_that_still_shows_the_model_is_believed_less_than_three_calls(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = ENDED
    provider.listed = ["base", "tuned"]
    gateway = await serve()
    assert (await gateway.chat()).headers["x-gateway-reason"] == "gone"

    def called(times: int) -> bool:
        gateway.clock.advance(1.0)
        return len(provider.chats("tuned")) == times

    await eventually(lambda: called(4), "three calls of one token")
    await verified(gateway)
    assert (await gateway.chat()).headers["x-gateway-reason"] == "gone"
    rows = await gateway.rows(6)
    probes = [row for row in rows if row.kind == "probe"]
    assert [(row.failure, row.cost_nanousd) for row in probes] == [("model_gone", 0)] * 3
    assert all(call.json["max_tokens"] == 1 for call in provider.chats("tuned")[1:])


async def test_a_false_alarm_costs_one_verification(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = in_turn(GONE, answers)
    provider.listed = ["base", "tuned"]
    gateway = await serve()
    assert (await gateway.chat()).headers["x-gateway-reason"] == "suspect"
    await verified(gateway)
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
    (probe,) = [row for row in await gateway.rows(4) if row.kind == "probe"]
    assert (probe.outcome, probe.output_tokens) == ("ok", 4)


async def test_a_model_that_comes_back_is_used_after_three_good_looks_over_a_minute(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    provider.listed = ["base"]
    gateway = await serve()
    await gateway.chat()
    await verified(gateway)
    # Its loss must be agreed on before an hour of this story passes in a moment.
    await counted(gateway, "gateway_cutovers_total", 1, route="reply", reason="no_access")
    del provider.models["tuned"]
    provider.listed = ["base", "tuned"]
    looks = len(provider.chats("tuned"))
    for step, seconds in enumerate((60, 30, 30), start=1):
        assert (await gateway.chat()).headers["x-gateway-served-by"] == "fallback"
        # The prober must be asleep before its time passes.
        await eventually(lambda: gateway.clock.sleepers >= 1, "the prober sleeps")
        gateway.clock.advance(seconds)
        await eventually(lambda n=looks + step: len(provider.chats("tuned")) == n, "one more look")  # type: ignore[misc]

    async def is_back() -> bool:
        return (await gateway.chat()).headers["x-gateway-served-by"] == "primary"

    await eventually(is_back, "the primary answers again")
    await counted(gateway, "gateway_cutovers_total", 1, route="reply", reason="primary")


async def test_the_404_of_an_edge_says_nothing_of_the_model(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(b"<html><h1>404 Not Found</h1></html>", 404, {"content-type": "text/html"})
    gateway = await serve()
    for _ in range(3):
        assert (await gateway.chat()).headers["x-gateway-reason"] == "server_error"
    assert len(provider.chats("tuned")) == 3
    assert await gateway.metric("gateway_model_probes_total") == 0, "nothing to verify"
    await gateway.rows(6)


async def test_a_suspect_with_no_fallback_is_asked_until_it_is_seen_to_be_gone(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    provider.listed = None
    gateway = await serve({"fallbacks": []})
    for _ in range(2):
        assert (await gateway.chat()).json()["error"]["code"] == "model_gone"
    assert len([c for c in provider.chats("tuned") if "max_tokens" not in c.json]) == 2
    await gateway.rows_of_callers(2)


# A key that is refused.


async def test_a_refused_key_rests_with_all_its_models_and_is_tried_again(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = refuses(401, "Incorrect API key provided: sk-abc***xyz", "invalid_api_key")
    gateway = await serve(more_routes={"other": {"primary": "tuned-2"}})
    for route in ("reply", "other", "reply"):
        answer = await gateway.chat(route)
        assert (answer.headers["x-gateway-served-by"], answer.headers["x-gateway-reason"]) == ("fallback", "no_access")
        assert "sk-abc" not in answer.text + str(answer.headers)
    assert [call.json["model"] for call in provider.chats()] == ["tuned", "base", "base", "base"]
    del provider.models["tuned"]
    gateway.clock.advance(31)
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
    await gateway.rows(5)


async def test_when_every_key_rests_the_caller_is_told_when_to_come_back(serve: Serve, provider: FakeProvider) -> None:
    provider.models |= dict.fromkeys(("tuned", "base"), refuses(401, "bad key sk-abc", "invalid_api_key"))
    gateway = await serve()
    first = await gateway.chat()
    assert (first.status_code, first.json()["error"]["code"]) == (502, "upstream_authentication")
    assert "sk-abc" not in first.text
    second = await gateway.chat()
    assert (second.status_code, second.json()["error"]["code"]) == (502, "upstream_authentication")
    assert 25 <= int(second.headers["retry-after"]) <= 30
    assert len(provider.chats()) == 2
    await gateway.rows(2)


# Limits.


def at_date(seconds: int) -> Any:
    return lambda now: {"retry-after": format_datetime(now + timedelta(seconds=seconds), usegmt=True)}


WAITS: list[Any] = [
    pytest.param({"retry-after": "7"}, "", (7, 7), id="seconds"),
    pytest.param({"retry-after-ms": "1500", "retry-after": "9"}, "", (1.5, 1.5), id="milliseconds, read first"),
    pytest.param(at_date(30), "", (27, 30), id="a date"),
    pytest.param(at_date(-300), "", (1, 1), id="a date that has passed"),
    pytest.param({"retry-after": "86400"}, "", (60, 60), id="more than a minute is a minute"),
    pytest.param({"retry-after": "99999999999999999999"}, "", (1, 60), id="an absurd number"),
    pytest.param({"retry-after": "-5"}, "", (1, 1), id="a negative number"),
    pytest.param({"retry-after": "soon"}, "", (1, 1), id="a word"),
    pytest.param({}, "", (1, 1), id="nothing"),
    pytest.param({}, "Please try again in 2.5s.", (2.5, 2.5), id="only in the message"),
]


@pytest.mark.parametrize(("headers", "said", "between"), WAITS)
async def test_a_limit_reaches_the_caller_with_the_time_to_wait(
    serve: Serve, provider: FakeProvider, headers: Any, said: str, between: tuple[float, float]
) -> None:
    gateway = await serve()
    sent = headers(gateway.clock.now()) if callable(headers) else headers
    provider.models["tuned"] = refuses(429, f"Rate limit reached. {said}", "rate_limit_exceeded", sent)
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    waits = int(answer.headers["retry-after-ms"]) / 1000
    assert between[0] <= waits <= between[1]
    assert int(answer.headers["retry-after"]) - 1 < waits <= int(answer.headers["retry-after"])
    assert provider.chats("base") == []
    await gateway.rows(1)


async def test_where_the_route_asks_for_it_a_limited_target_rests_as_long_as_it_said(
    serve: Serve, provider: FakeProvider
) -> None:
    limited = refuses(429, "Rate limit reached.", "rate_limit_exceeded", {"retry-after": "20"})
    provider.models["tuned"] = in_turn(limited, answers)
    gateway = await serve({"fallback_on": ["rate_limited"]})
    reasons = [(await gateway.chat()).headers["x-gateway-reason"] for _ in range(3)]
    assert reasons == ["rate_limited", "resting", "resting"]
    assert len(provider.chats("tuned")) == 1
    gateway.clock.advance(21)
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
    await gateway.rows(5)
