from typing import Any

import pytest
from hypothesis import given as given_text
from hypothesis import strategies as st

from gateway.policy.stored_ids import (
    UNTAGGED,
    Owner,
    holders_of,
    not_given,
    split,
    tag_answer,
    tag_event,
    tag_of,
    tag_page,
    untag,
)

HERE, THERE = tag_of("here"), tag_of("there")
MINE, THEIRS = Owner(b"s" * 32, "key_mine"), Owner(b"s" * 32, "key_theirs")


def at(tag: str, id_: str) -> str:
    return f"{id_}.{tag}"


def test_a_tag_is_the_same_in_every_replica_and_another_for_every_provider() -> None:
    assert tag_of("openai") == "7b3e1a13" or len(tag_of("openai")) == 8
    assert tag_of("openai") == tag_of("openai") != tag_of("azure-eu")


@given_text(st.text(min_size=1))
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
    pytest.param({"input": [{"id": at(THERE, "msg_1")}]}, {THERE}, id="a stored item, named by its id alone"),
    pytest.param({"input": [{"id": "msg_1", "type": None}]}, {UNTAGGED}, id="a stored item whose type is null"),
    pytest.param({"input": [{"id": "m", "role": "user", "content": "Hi"}]}, set(), id="a message without its type"),
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


def given(owner: Owner, id_: str, tag: str = HERE) -> str:
    """Return an id as an owner is given it."""
    answer = {"id": id_}
    tag_answer(answer, tag, owner)
    return answer["id"]


@given_text(st.text(min_size=1))
def test_an_id_is_its_owners_alone_and_comes_back_as_its_provider_wrote_it(id_: str) -> None:
    mine = given(MINE, id_)
    assert split(mine) == (id_, HERE)
    assert MINE.was_given(mine)
    assert Owner(b"s" * 32, "key_mine").was_given(mine), "on every replica"
    assert not THEIRS.was_given(mine)
    assert not Owner(b"t" * 32, "key_mine").was_given(mine), "nobody without the secret can write it"


MARK = given(MINE, "resp_1")[-16:]


@pytest.mark.parametrize(
    "id_",
    [
        pytest.param("resp_1", id="no tag"),
        pytest.param(at(HERE, "resp_1"), id="a tag alone, as before there were keys"),
        pytest.param(f"resp_2.{HERE}{MARK}", id="the mark of another response"),
        pytest.param(f"resp_1.{THERE}{MARK}", id="the mark of another provider's response"),
        pytest.param(f"resp_1.{HERE}{MARK[:-1]}", id="a mark that was cut"),
        pytest.param(f"resp_1.{HERE}{MARK}0", id="a mark that is longer"),
        pytest.param(f"resp_1.{HERE}{MARK.upper()}", id="a mark in capitals"),
        pytest.param(f"resp_1.{HERE}{'0' * 16}", id="a guess"),
        pytest.param(given(THEIRS, "resp_1"), id="another's"),
        pytest.param(given(THEIRS, given(MINE, "resp_1")), id="another's over one's own"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_was_never_given_to_an_owner(id_: str) -> None:
    assert not MINE.was_given(id_)
    assert not_given({"previous_response_id": id_}, MINE) == ("previous_response_id", id_)
    assert not_given({"input": [{"type": "item_reference", "id": id_}]}, MINE) == ("input", id_)
    assert not_given({"input": [{"id": id_}]}, MINE) == ("input", id_)
    assert not_given({"conversation": {"id": id_}}, MINE) == ("conversation", id_)


def test_a_request_may_refer_to_what_its_caller_was_given() -> None:
    items = [{"type": "item_reference", "id": given(MINE, "msg_1")}, {"type": "message", "id": given(THEIRS, "msg_2")}]
    assert not_given({"previous_response_id": given(MINE, "resp_1"), "input": items}, MINE) is None
    assert not_given({"input": "Hi"}, MINE) is None


def test_items_that_others_were_given_lose_what_a_provider_could_find_them_by() -> None:
    body = {
        "input": [
            {"type": "reasoning", "id": given(THEIRS, "rs_1"), "summary": []},
            {"type": "reasoning", "id": "rs_2", "summary": []},
            {"type": "reasoning", "id": at(HERE, "rs_3"), "summary": []},
            {"type": "reasoning", "id": given(MINE, "rs_4"), "summary": []},
            {"type": "message", "id": given(THEIRS, "msg_1"), "role": "user", "content": "Hi"},
            {"type": "message", "id": given(MINE, "msg_2"), "role": "user", "content": "Ho"},
        ]
    }
    assert untag(body, HERE, MINE) == ["reasoning"]
    assert body["input"] == [
        {"type": "reasoning", "id": "rs_4", "summary": []},
        {"type": "message", "role": "user", "content": "Hi"},
        {"type": "message", "id": "msg_2", "role": "user", "content": "Ho"},
    ]


def test_every_id_of_an_event_and_of_a_page_is_its_owners() -> None:
    event = {"item_id": "msg_1", "item": {"id": "msg_1"}, "response": {"id": "r", "output": [{"id": "m"}]}}
    tag_event(event, HERE, MINE)
    page = {"first_id": "a", "last_id": "b", "data": [{"id": "a"}, {"id": "b"}]}
    tag_page(page, HERE, MINE)
    ids = [event["item_id"], event["item"]["id"], event["response"]["id"], event["response"]["output"][0]["id"]]
    ids += [page["first_id"], page["last_id"], *(item["id"] for item in page["data"])]
    assert all(MINE.was_given(id_) for id_ in ids)
