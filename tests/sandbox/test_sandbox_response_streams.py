"""The events of a response's stream."""

from typing import Any

import httpx
import pytest

from tests.sandbox.responses_api import LUNA, SUMMARISED, TIME, WEATHER, events, respond, without_ids

CREATED = ["response.created", "response.in_progress"]
ADDED, DONE = "response.output_item.added", "response.output_item.done"
TEXT = ["response.content_part.added", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done"]  # fmt: skip
CALL = ["response.function_call_arguments.delta", "response.function_call_arguments.done"]
SUMMARY = ["response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
           "response.reasoning_summary_text.done", "response.reasoning_summary_part.done"]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        pytest.param({}, [ADDED, *TEXT, DONE], id="a text"),
        pytest.param({"tools": [WEATHER]}, [ADDED, *CALL, DONE], id="a call"),
        pytest.param(
            {"tools": [WEATHER, TIME], "input": "Use get_weather and get_time for Paris"},
            [ADDED, *CALL, DONE] * 2,
            id="two calls",
        ),
        pytest.param(
            {"model": LUNA, "reasoning": SUMMARISED}, [ADDED, *SUMMARY, DONE, ADDED, *TEXT, DONE], id="summarised"
        ),
        pytest.param({"model": LUNA, "reasoning": {}}, [ADDED, DONE, ADDED, *TEXT, DONE], id="thought of in silence"),
        pytest.param(
            {"model": LUNA, "reasoning": {}, "tools": [WEATHER]}, [ADDED, DONE, ADDED, *CALL, DONE], id="a thought call"
        ),
    ],
)
def test_a_stream_has_its_events_in_order_and_says_what_the_whole_says(
    http: httpx.Client, body: dict[str, Any], kinds: list[str]
) -> None:
    sent = events(http, **body)
    assert [event["sequence_number"] for event in sent] == list(range(len(sent)))
    runs = [event["type"] for before, event in zip([{"type": ""}, *sent], sent, strict=False)
            if not (event["type"] == before["type"] and event["type"].endswith(".delta"))]  # fmt: skip
    assert runs == [*CREATED, *kinds, "response.completed"]
    final = sent[-1]["response"]
    assert without_ids({**final, "created_at": 0, "completed_at": 0}) == without_ids(
        {**respond(http, **body), "created_at": 0, "completed_at": 0}
    )
    assert {event["response"]["id"] for event in sent if "response" in event} == {final["id"]}
    assert [event["response"]["usage"] for event in sent[:2]] == [None, None]
    first, second = http.get("/sandbox/bill").json()["rows"]
    assert first == second


@pytest.mark.parametrize("body", [{}, {"tools": [WEATHER]}, {"model": LUNA, "reasoning": SUMMARISED}])
def test_deltas_add_up_to_the_item_that_they_name(http: httpx.Client, body: dict[str, Any]) -> None:
    sent = events(http, **body)
    items = [event["item"] for event in sent if event["type"] == DONE]
    assert items == sent[-1]["response"]["output"]
    for index, item in enumerate(items):
        own = [event for event in sent if event.get("output_index") == index and "item_id" in event]
        assert {event["item_id"] for event in own} <= {item["id"]}
        said = "".join(event["delta"] for event in own if event["type"].endswith(".delta"))
        parts = item.get("content") or item.get("summary") or []
        assert said == (item.get("arguments") or "".join(part["text"] for part in parts))


def test_probabilities_come_with_the_tokens_where_they_are_included(http: httpx.Client) -> None:
    body = {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}
    part = respond(http, **body)["output"][0]["content"][0]
    assert "".join(token["token"] for token in part["logprobs"]) == part["text"]
    assert {len(token["top_logprobs"]) for token in part["logprobs"]} == {2}
    deltas = [event for event in events(http, **body) if event["type"] == "response.output_text.delta"]
    assert [token for event in deltas for token in event["logprobs"]] == part["logprobs"]
    assert respond(http, top_logprobs=2)["output"][0]["content"][0]["logprobs"] == []


@pytest.mark.parametrize(
    ("model", "ending"),
    [
        pytest.param("fault-cut", "response.output_text.delta", id="a clean end in the middle"),
        pytest.param("fault-error-in-200", "error", id="an error after the confirmation"),
        pytest.param("fault-substitute", "response.completed", id="another model"),
    ],
)
def test_faults_are_the_same_here(http: httpx.Client, model: str, ending: str) -> None:
    sent = events(http, model=model)
    assert [event["type"] for event in sent[:2]] == CREATED
    assert sent[-1]["type"] == ending
    if model == "fault-substitute":
        assert sent[-1]["response"]["model"] == "gpt-4.1-mini-2025-04-14"
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert row["complete"] is (model == "fault-substitute")
