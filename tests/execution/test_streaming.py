from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.execution.endpoints import CHAT
from gateway.execution.endpoints.chat import produced_chars
from gateway.execution.request import Request
from gateway.execution.streaming import BrokenStream, ErrorEvent, StreamReader
from gateway.providers.sse import MAX_EVENT_BYTES

DONE = b"data: [DONE]\n\n"


def event(chunk: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def text(content: str | None, **fields: Any) -> bytes:
    return event(
        {"model": "m", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]} | fields
    )


def usage(tokens: int, **fields: Any) -> bytes:
    return event({"model": "m", "choices": [], "usage": {"completion_tokens": tokens}} | fields)


FINISH = event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
COMMENT = b": ping\n\n"
WHOLE = text("Hel") + text("lo") + FINISH + usage(2) + DONE


def a_reader(wants_usage: bool) -> StreamReader:
    asked = Request(CHAT, {}, "m", streamed=True, wants_usage=wants_usage)
    reader = CHAT.reader(asked, None, b"text/event-stream")  # type: ignore[arg-type]
    assert reader is not None
    return reader


def taken(stream: bytes, *, wants_usage: bool = False) -> tuple[StreamReader, bytes]:
    reader = a_reader(wants_usage)
    return reader, reader.take(stream)


def test_a_whole_answer_passes_unchanged_and_says_what_it_is() -> None:
    reader, passed = taken(WHOLE, wants_usage=True)
    assert passed == WHOLE
    assert (reader.model, reader.usage, reader.finished, reader.done) == ("m", {"completion_tokens": 2}, True, True)
    assert (reader.events, reader.output_chars, reader.broken) == (4, 5, None)


@pytest.mark.parametrize(
    ("wants_usage", "chunk", "passes"),
    [
        pytest.param(True, usage(2), True, id="who asked for usage gets its chunk"),
        pytest.param(False, usage(2), False, id="who did not ask does not"),
        pytest.param(False, text("x", usage={"completion_tokens": 2}), True, id="usage beside text passes with it"),
        pytest.param(False, text("x", usage=None), True, id="a null usage beside text"),
        pytest.param(False, event({"choices": [], "prompt_filter_results": []}), True, id="no choices and no usage"),
        pytest.param(False, event({"choices": [], "usage": None}), True, id="no choices and a null usage"),
        pytest.param(False, event({"usage": {"completion_tokens": 2}}), False, id="usage without choices at all"),
        pytest.param(False, COMMENT, True, id="a comment passes"),
        pytest.param(False, b"event: x\ndata: {}\n\n", True, id="an event with a name passes"),
    ],
)
def test_what_the_caller_gets(wants_usage: bool, chunk: bytes, passes: bool) -> None:
    reader, passed = taken(chunk, wants_usage=wants_usage)
    assert passed == (chunk if passes else b"")
    assert reader.broken is None


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(text("a"), None, id="nobody counted"),
        pytest.param(usage(2) + usage(5), {"completion_tokens": 5}, id="the last count holds, not the sum"),
        pytest.param(
            text("a", usage={"completion_tokens": 1}) + text("b", usage={"completion_tokens": 2}) + FINISH,
            {"completion_tokens": 2},
            id="a count in every event",
        ),
        pytest.param(usage(5) + text("a", usage=None), {"completion_tokens": 5}, id="a null takes nothing back"),
        pytest.param(usage(0), {"completion_tokens": 0}, id="an explicit zero is a count"),
    ],
)
def test_the_usage_that_holds(stream: bytes, expected: object) -> None:
    assert taken(stream)[0].usage == expected


def test_the_first_model_named_is_the_one() -> None:
    assert taken(text("a", model=None) + text("b", model="first") + text("c", model="other"))[0].model == "first"


def test_comments_do_not_count_as_events() -> None:
    assert taken(COMMENT * 3)[0].events == 0


# The end.


@pytest.mark.parametrize(
    ("stream", "last"),
    [
        pytest.param(text("a") + FINISH + DONE, b"", id="[DONE] has passed"),
        pytest.param(text("a") + FINISH, DONE, id="a finish_reason and a clean end: [DONE] is supplied"),
        pytest.param(text("a") + FINISH + DONE.rstrip(), DONE, id="[DONE] without its blank line"),
        pytest.param(text("a") + FINISH.rstrip(), FINISH + DONE, id="the last event without its blank line"),
        pytest.param(text("a") + FINISH + usage(1).rstrip(), DONE, id="usage without its blank line, not asked for"),
    ],
)
def test_a_clean_end(stream: bytes, last: bytes) -> None:
    reader, _ = taken(stream)
    assert reader.end() == last
    assert reader.done


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(COMMENT, id="only a comment"),
        pytest.param(text("a"), id="no finish_reason"),
        pytest.param(text("a") + b'data: {"choices": [{"del', id="within an event"),
        pytest.param(text("a") + usage(3), id="usage, but no finish_reason"),
        pytest.param(text("a") + FINISH + b"data: {", id="within an event behind the finish_reason"),
    ],
)
def test_an_answer_that_was_cut_off_gets_no_made_up_end(stream: bytes) -> None:
    reader, _ = taken(stream)
    with pytest.raises(BrokenStream):
        reader.end()
    assert not reader.done


def test_an_error_as_the_last_words_without_a_blank_line() -> None:
    reader, _ = taken(text("a") + event({"error": {"message": "m"}}).rstrip())
    with pytest.raises(ErrorEvent):
        reader.end()


# What cannot be passed on.


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"data: {oops}\n\n", id="malformed JSON"),
        pytest.param(b"data: \n\n", id="empty data"),
        pytest.param(b'data: {"a": "\xff"}\n\n', id="invalid UTF-8"),
        pytest.param(b"data: [1]\n\n", id="a list"),
        pytest.param(b"data: 7\n\n", id="a number"),
        pytest.param(b"data: null\n\n", id="null"),
        pytest.param(event({"choices": 7}), id="choices that are a number"),
        pytest.param(event({"choices": ["x"]}), id="a choice that is text"),
        pytest.param(event({"choices": [None]}), id="a choice that is null"),
        pytest.param(event({"choices": [{"delta": "x"}]}), id="a delta that is text"),
    ],
)
def test_a_malformed_event_ends_what_is_passed_on(bad: bytes) -> None:
    reader, passed = taken(text("a") + bad + text("b"))
    assert passed == text("a")
    assert isinstance(reader.broken, BrokenStream)


def test_an_event_too_large_ends_what_is_passed_on() -> None:
    reader = a_reader(False)
    assert reader.take(text("a")) == text("a")
    assert reader.take(b"data: " + b"x" * MAX_EVENT_BYTES) == b""
    assert isinstance(reader.broken, BrokenStream)


def test_an_error_event_ends_what_is_passed_on_and_keeps_what_it_said() -> None:
    error = {"error": {"message": "overloaded", "code": "server_error"}}
    reader, passed = taken(text("a") + event(error) + text("b"))
    assert passed == text("a")
    assert isinstance(reader.broken, ErrorEvent)
    assert reader.broken.body == error


def test_a_null_error_is_none() -> None:
    assert taken(text("a", error=None))[0].broken is None


# Characters: the base of an estimate.


@pytest.mark.parametrize(
    ("message", "chars"),
    [
        pytest.param({}, 0, id="nothing"),
        pytest.param({"content": "héllo"}, 5, id="text"),
        pytest.param({"content": None, "role": "assistant"}, 0, id="null"),
        pytest.param({"tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}, 7, id="a tool call"),
        pytest.param(
            {"content": "ab", "tool_calls": [{"function": {"arguments": "x"}}, {"function": {"arguments": "yz"}}]},
            5,
            id="text and two tool calls",
        ),
        pytest.param({"tool_calls": [{"function": {"arguments": None}}]}, 0, id="null arguments"),
        pytest.param({"tool_calls": [{"function": None}, {"function": {"arguments": "ab"}}]}, 2, id="a null function"),
        pytest.param({"tool_calls": [{"index": 0}, None]}, 0, id="a tool call without a function"),
        pytest.param({"content": 7, "tool_calls": 7}, 0, id="numbers where text and a list belong"),
        pytest.param({"tool_calls": [{"function": {"arguments": {"a": 1}}}]}, 0, id="arguments that are no text"),
        pytest.param({"content": [{"type": "text", "text": "ab"}]}, 0, id="parts are not counted"),
    ],
)
def test_characters_of_a_message(message: dict[str, Any], chars: int) -> None:
    assert produced_chars(message) == chars


def test_characters_add_up_over_choices_and_events() -> None:
    chunk = {"choices": [{"delta": {"content": "ab"}}, {"delta": {"tool_calls": [{"function": {"arguments": "cd"}}]}}]}
    assert taken(event(chunk) * 3)[0].output_chars == 12


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_however_an_answer_is_cut_the_caller_gets_the_same_bytes(places: list[int]) -> None:
    ends = [0, *sorted(set(places)), len(WHOLE)]
    reader = a_reader(True)
    passed = b"".join(reader.take(WHOLE[start:end]) for start, end in pairwise(ends))
    assert passed + reader.end() == WHOLE
    assert (reader.events, reader.output_chars) == (4, 5)


@given(st.lists(st.binary(max_size=60).map(lambda data: b"data: " + data + b"\n\n"), max_size=5))
def test_whatever_arrives_it_never_raises(events: list[bytes]) -> None:
    reader = a_reader(False)
    for block in events:
        reader.take(block)
