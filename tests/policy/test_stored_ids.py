from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.stored_ids import UNTAGGED, holders_of, split, tag_answer, tag_event, tag_of, untag

HERE, THERE = tag_of("here"), tag_of("there")


def at(tag: str, id_: str) -> str:
    return f"{id_}.{tag}"


def test_a_tag_is_the_same_in_every_replica_and_another_for_every_provider() -> None:
    assert tag_of("openai") == "7b3e1a13" or len(tag_of("openai")) == 8
    assert tag_of("openai") == tag_of("openai") != tag_of("azure-eu")


@given(st.text(min_size=1))
def test_any_id_comes_back_as_its_provider_wrote_it(id_: str) -> None:
    answer = {"id": id_}
    tag_answer(answer, HERE)
    assert split(answer["id"]) == (id_, HERE)


@pytest.mark.parametrize("id_", ["resp_68af", "resp.68af", "resp_1.deadbee", "resp_1.DEADBEEF", ".deadbeef", ""])
def test_an_id_without_a_tag_has_none(id_: str) -> None:
    assert split(id_) == (id_, None)


def test_every_id_of_an_answer_is_tagged() -> None:
    answer = {
        "id": "resp_2",
        "previous_response_id": "resp_1",
        "output": [{"type": "reasoning", "id": "rs_1"}, {"type": "message", "id": "msg_1"}, {"type": "odd"}],
    }
    tag_answer(answer, HERE)
    assert answer == {
        "id": at(HERE, "resp_2"),
        "previous_response_id": at(HERE, "resp_1"),
        "output": [
            {"type": "reasoning", "id": at(HERE, "rs_1")},
            {"type": "message", "id": at(HERE, "msg_1")},
            {"type": "odd"},
        ],
    }


def test_every_id_of_an_event_is_tagged() -> None:
    event = {"item_id": "msg_1", "item": {"id": "msg_1"}, "response": {"id": "resp_1", "output": []}, "delta": "msg_1"}
    tag_event(event, HERE)
    assert event == {
        "item_id": at(HERE, "msg_1"),
        "item": {"id": at(HERE, "msg_1")},
        "response": {"id": at(HERE, "resp_1"), "output": []},
        "delta": "msg_1",
    }


HOLDERS: list[Any] = [
    pytest.param({"input": "Hi"}, set(), id="nothing is referred to"),
    pytest.param({"previous_response_id": at(HERE, "resp_1")}, {HERE}, id="a response"),
    pytest.param({"previous_response_id": "resp_1"}, {UNTAGGED}, id="a response that did not come from here"),
    pytest.param({"conversation": "conv_1"}, {UNTAGGED}, id="a conversation"),
    pytest.param({"conversation": {"id": "conv_1"}}, {UNTAGGED}, id="a conversation as an object"),
    pytest.param({"input": [{"type": "item_reference", "id": at(THERE, "msg_1")}]}, {THERE}, id="a stored item"),
    pytest.param({"input": [{"type": "message", "id": at(THERE, "msg_1")}]}, set(), id="an item that is sent whole"),
    pytest.param(
        {"previous_response_id": at(HERE, "r"), "input": [{"type": "item_reference", "id": at(THERE, "m")}]},
        {HERE, THERE},
        id="two providers at once",
    ),
    pytest.param({"previous_response_id": 7, "input": [7, {"type": "item_reference"}]}, set(), id="nonsense"),
]


@pytest.mark.parametrize(("body", "holders"), HOLDERS)
def test_who_holds_what_a_request_refers_to(body: dict[str, Any], holders: set[str]) -> None:
    assert holders_of(body) == holders


def test_items_of_this_provider_are_given_back_as_it_knows_them() -> None:
    items = [{"type": "reasoning", "id": at(HERE, "rs_1"), "encrypted_content": "g"}, {"role": "user", "content": "Hi"}]
    body = {"previous_response_id": at(HERE, "resp_1"), "input": items}
    assert untag(body, HERE) == []
    assert body == {
        "previous_response_id": "resp_1",
        "input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "g"}, {"role": "user", "content": "Hi"}],
    }
    assert items[0]["id"] == at(HERE, "rs_1"), "the caller's own items are not touched"


def test_items_of_another_provider_lose_what_only_it_understands() -> None:
    call = {"type": "function_call", "id": at(THERE, "fc_1"), "call_id": "call_1", "name": "f", "arguments": "{}"}
    body = {
        "input": [
            {"type": "reasoning", "id": at(THERE, "rs_1")},
            call,
            {"role": "assistant", "id": at(THERE, "msg_1"), "content": []},
            {"type": "web_search_call", "id": at(THERE, "ws_1")},
            {"type": "message", "id": "msg_own", "role": "user", "content": "Hi"},
        ]
    }
    assert untag(body, HERE) == ["reasoning", "input"]
    assert body["input"] == [
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": []},
        {"type": "message", "id": "msg_own", "role": "user", "content": "Hi"},
    ]
