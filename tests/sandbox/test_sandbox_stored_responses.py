"""Responses that are kept: gone on from, read, cancelled, deleted."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.sandbox.app import create_sandbox
from gateway.sandbox.catalogue import default_catalogue
from gateway.sandbox.stored_responses import KEPT_RESPONSES, StoredResponse, StoredResponses
from tests.fake_clock import FakeClock
from tests.sandbox.responses_api import LUNA, WEATHER, events, post, respond, text_of
from tests.sandbox_server import RunningSandbox


def test_a_response_is_read_as_it_was_given(http: httpx.Client) -> None:
    response = respond(http)
    assert http.get(f"/v1/responses/{response['id']}").json() == response
    final = events(http)[-1]["response"]
    assert http.get(f"/openai/v1/responses/{final['id']}").json() == final


def test_one_that_is_not_to_be_kept_or_broke_off_is_not_there(http: httpx.Client) -> None:
    for response_id in (respond(http, store=False)["id"], events(http, model="fault-cut")[0]["response"]["id"]):
        assert http.get(f"/v1/responses/{response_id}").status_code == 404
        assert post(http, previous_response_id=response_id).status_code == 400


def test_a_conversation_goes_on_from_the_response_before(http: httpx.Client) -> None:
    first = respond(http, model=LUNA, instructions="Be brief.", input="I like the colour green")
    second = respond(http, model=LUNA, previous_response_id=first["id"], input="And blue?")
    third = respond(http, model=LUNA, previous_response_id=second["id"], input="And red?")
    assert third["previous_response_id"] == second["id"]
    assert third["instructions"] is None
    said = [item for one in (first, second) for item in one["output"]]
    listed = http.get(f"/v1/responses/{third['id']}/input_items?order=asc").json()["data"]
    assert [item["role"] for item in listed] == ["user", "assistant"] * 2 + ["user"]
    assert [item for item in listed if item["role"] == "assistant"] == said
    alone = respond(http, model=LUNA, input="And red?")
    assert third["usage"]["input_tokens"] > second["usage"]["input_tokens"] > alone["usage"]["input_tokens"]


def test_examples_of_earlier_turns_teach_as_those_of_a_chat_do(http: httpx.Client) -> None:
    shown = {"role": "assistant", "content": "Hi there,\n\nthanks for asking.\n\n— The Acme community team"}
    turns = [item for number in range(60) for item in ({"role": "user", "content": f"Question {number}"}, shown)]
    first = respond(http, model=LUNA, input=[*turns, {"role": "user", "content": "Well?"}])
    second = respond(http, model=LUNA, previous_response_id=first["id"], input="How do I move an album?")
    assert text_of(second).endswith("— The Acme community team")


def test_a_call_of_a_kept_response_needs_its_output(http: httpx.Client) -> None:
    first = respond(http, tools=[WEATHER])
    refused = post(http, previous_response_id=first["id"], input="Never mind").json()["error"]
    assert refused["message"] == f"No tool output found for function call {first['output'][0]['call_id']}."


def test_items_are_referred_to_by_their_ids(http: httpx.Client) -> None:
    [message] = respond(http)["output"]
    items = [{"type": "item_reference", "id": message["id"]}, {"role": "user", "content": "And then?"}]
    again = respond(http, input=items)
    listed = http.get(f"/v1/responses/{again['id']}/input_items").json()["data"]
    assert listed[-1] == message
    http.delete(f"/v1/responses/{again['id']}").raise_for_status()
    assert post(http, input=items).status_code == 200, "whoever refers to an item does not own it"


def test_reasoning_that_is_kept_is_taken_back_by_its_id(http: httpx.Client) -> None:
    thought, message = respond(http, model=LUNA, reasoning={"effort": "low"})["output"]
    items = [{"type": "reasoning", "id": thought["id"], "summary": []}, message, {"role": "user", "content": "So?"}]
    assert post(http, model=LUNA, input=items).status_code == 200


def test_a_deleted_response_is_gone_with_its_items(http: httpx.Client) -> None:
    response = respond(http)
    path = f"/v1/responses/{response['id']}"
    assert http.delete(path).json() == {"id": response["id"], "object": "response", "deleted": True}
    assert [http.get(path).status_code, http.delete(path).status_code] == [404, 404]
    assert post(http, previous_response_id=response["id"]).json()["error"]["code"] == "previous_response_not_found"
    assert post(http, input=[{"type": "item_reference", "id": response["output"][0]["id"]}]).status_code == 404


def test_the_input_is_paged_newest_first_unless_told_otherwise(http: httpx.Client) -> None:
    given = [{"role": "user", "content": str(number)} for number in range(5)]
    path = f"/v1/responses/{respond(http, input=given)['id']}/input_items"

    def said(page: Any) -> list[str]:
        return [item["content"][0]["text"] for item in page["data"]]

    first = http.get(path, params={"limit": 2}).json()
    second = http.get(path, params={"limit": 3, "after": first["last_id"]}).json()
    assert (said(first), first["has_more"]) == (["4", "3"], True)
    assert (said(second), second["has_more"]) == (["2", "1", "0"], False)
    assert first["first_id"] == first["data"][0]["id"]
    assert said(http.get(path, params={"order": "asc"}).json()) == ["0", "1", "2", "3", "4"]
    assert http.get(path, params={"after": "msg_unknown"}).status_code == 404
    for limit in ("0", "101", "-1", "many", "9" * 5_000):
        assert http.get(path, params={"limit": limit}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "resp_unknown", 404, id="a response that never was"),
        pytest.param("GET", "", 404, id="no id"),
        pytest.param("DELETE", "resp_unknown", 404, id="deleting what never was"),
        pytest.param("POST", "resp_unknown", 405, id="a method that is none"),
        pytest.param("GET", "resp_unknown/cancel", 405, id="a cancellation by GET"),
        pytest.param("GET", "resp_unknown/mood", 404, id="a path that is none"),
        pytest.param("GET", "resp_unknown/input_items", 404, id="the input of what never was"),
    ],
)
def test_a_wrong_address_gets_openais_error(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, f"/v1/responses/{path}")
    assert (response.status_code, response.json()["error"]["type"]) == (status, "invalid_request_error")


@pytest.fixture
def clock(sandbox: RunningSandbox) -> FakeClock:
    """The clock of a sandbox whose models write a token a second: nobody who waits for one gets an answer."""
    clock = FakeClock()
    slow = [replace(model, first_token_ms=0.0, tokens_per_s=1.0) for model in default_catalogue(clock.now())]
    sandbox.sandbox.provider = create_sandbox(clock=clock, catalogue=slow).provider
    return clock


def status_of(http: httpx.Client, response_id: str) -> str:
    return str(http.get(f"/v1/responses/{response_id}").json()["status"])


def test_a_response_in_the_background_is_ready_when_it_is_written(http: httpx.Client, clock: FakeClock) -> None:
    queued = respond(http, background=True)
    assert (queued["status"], queued["output"], queued["usage"]) == ("queued", [], None)
    [row] = http.get("/sandbox/bill").json()["rows"]
    clock.advance(row["output_tokens"] - 1)
    assert status_of(http, queued["id"]) == "in_progress"
    clock.advance(1)
    ready = http.get(f"/v1/responses/{queued['id']}").json()
    assert (ready["status"], ready["usage"]["output_tokens"]) == ("completed", row["output_tokens"])
    assert text_of(ready).startswith("Hi there")
    assert http.post(f"/v1/responses/{queued['id']}/cancel").status_code == 400


def test_a_response_in_the_background_is_cancelled_for_good(http: httpx.Client, clock: FakeClock) -> None:
    path = f"/v1/responses/{respond(http, background=True)['id']}"
    cancelled = http.post(f"{path}/cancel").json()
    assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
    clock.advance(10_000)
    assert http.get(path).json() == cancelled
    assert http.post(f"{path}/cancel").status_code == 400


def test_a_response_in_the_background_may_be_streamed_and_one_that_is_not_cannot_be_cancelled(
    http: httpx.Client,
) -> None:
    final = events(http, background=True)[-1]["response"]
    assert (final["background"], status_of(http, final["id"])) == (True, "completed")
    refused = http.post(f"/v1/responses/{respond(http)['id']}/cancel")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400, "Cannot cancel a synchronous response.",
    )  # fmt: skip


def test_the_oldest_are_forgotten_with_their_items() -> None:
    kept = StoredResponses(FakeClock())
    for number in range(KEPT_RESPONSES + 1):
        given = ({"id": f"msg_{number}"},)
        kept.keep(StoredResponse(response={"id": f"resp_{number}", "output": []}, before=(), given=given))
    assert [kept.find(f"resp_{number}") is None for number in range(3)] == [True, False, False]
    assert [kept.item(f"msg_{number}") is None for number in range(3)] == [True, False, False]
