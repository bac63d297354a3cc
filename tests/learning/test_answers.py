from typing import Any

import orjson
import pytest

from gateway.learning.answers import clean, message_of, message_of_stream

CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "lämp"}'}}
OTHER = {"id": "c2", "type": "function", "function": {"name": "cancel", "arguments": ""}}


def _chunk(delta: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": index, "delta": delta, **more}]}


def _stream(*chunks: Any, end: str = "\n\n", done: bool = True) -> bytes:
    events = [b"data: " + (chunk if isinstance(chunk, bytes) else orjson.dumps(chunk)) for chunk in chunks]
    return b"".join(event + end.encode() for event in (*events, *([b"data: [DONE]"] if done else [])))


def _part(index: int, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **more}]}


TEXT = _stream(
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"content": "Your lämp "}),
    _chunk({"content": "is 🐟\n\nhere."}),
    _chunk({}, finish_reason="stop"),
    {"choices": [], "usage": {"total_tokens": 9}},
)
CALLS = _stream(
    _chunk({"role": "assistant", "content": None}),
    _chunk(_part(0, id="c1", type="function", function={"name": "find", "arguments": ""})),
    _chunk(_part(0, function={"arguments": '{"q": '})),
    _chunk(_part(1, id="c2", type="function", function={"name": "cancel", "arguments": ""})),
    _chunk(_part(0, function={"arguments": '"lämp"}'})),
    _chunk({}, finish_reason="tool_calls"),
)
SAID: dict[str, tuple[bytes, dict[str, Any] | None]] = {
    "text": (TEXT, {"role": "assistant", "content": "Your lämp is 🐟\n\nhere."}),
    "tool calls whose arguments come in turns": (CALLS, {"role": "assistant", "tool_calls": [CALL, OTHER]}),
    "text before a tool call": (
        _stream(
            _chunk({"content": "I look."}), _chunk(_part(0, id="c2", function={"name": "cancel", "arguments": ""}))
        ),
        {"role": "assistant", "content": "I look.", "tool_calls": [OTHER]},
    ),
    "tool calls in the wrong order": (
        _stream(
            _chunk(_part(1, id="c2", function={"name": "cancel", "arguments": ""})),
            _chunk(_part(0, id="c1", function={"name": "find", "arguments": '{"q": "lämp"}'})),
        ),
        {"role": "assistant", "tool_calls": [CALL, OTHER]},
    ),
    "a refusal": (
        _stream(_chunk({"refusal": "I can"}), _chunk({"refusal": "not."})),
        {"role": "assistant", "refusal": "I cannot."},
    ),
    "only the first choice": (
        _stream(_chunk({"content": "no"}, 1), _chunk({"content": "yes"}), _chunk({"content": "no"}, 1)),
        {"role": "assistant", "content": "yes"},
    ),
    "carriage returns": (
        _stream(_chunk({"content": "a"}), _chunk({"content": "b"}), end="\r\n\r\n"),
        {"role": "assistant", "content": "ab"},
    ),
    "comments and other fields between the events": (
        b": keep-alive\n\n" + _stream(_chunk({"content": "a"}), done=False) + b"event: ping\n\nid: 7\n" + TEXT,
        {"role": "assistant", "content": "aYour lämp is 🐟\n\nhere."},
    ),
    "a stream that never said that it is done": (
        _stream(_chunk({"content": "a"}), done=False),
        {"role": "assistant", "content": "a"},
    ),
    "what only its provider needs": (
        _stream(_chunk({"content": "a", "reasoning_content": "hm", "annotations": []}, logprobs=None)),
        {"role": "assistant", "content": "a"},
    ),
    "nothing": (b"", None),
    "an empty text": (_stream(_chunk({"role": "assistant", "content": ""}), _chunk({})), None),
    "no choices": (_stream({"choices": None}, {"error": {"message": "overloaded"}}), None),
    "no JSON": (_stream(_chunk({"content": "a"}), b"{"), None),
    "a list": (_stream(_chunk({"content": "a"}), []), None),
    "choices that are none": (_stream(_chunk({"content": "a"}), {"choices": [1]}), None),
    "a delta that is none": (_stream(_chunk({"content": "a"}), {"choices": [{"delta": "b"}]}), None),
    "tool calls that are none": (_stream(_chunk({"tool_calls": ["find"]})), None),
    "tool calls that cannot be put into an order": (
        _stream(_chunk(_part(0)), _chunk({"tool_calls": [{"index": "1"}]})),
        None,
    ),
    "an event too large": (b"data: " + b"x" * 2_000_000, None),
}


@pytest.mark.parametrize(("stream", "expected"), SAID.values(), ids=SAID.keys())
def test_a_stream_says_what_its_deltas_say_together(stream: bytes, expected: dict[str, Any] | None) -> None:
    assert message_of_stream([stream]) == expected


@pytest.mark.parametrize(("stream", "expected"), list(SAID.values())[:-1], ids=list(SAID)[:-1])
def test_where_the_network_cuts_a_stream_does_not_matter(stream: bytes, expected: dict[str, Any] | None) -> None:
    for cut in range(len(stream)):
        assert message_of_stream([stream[:cut], stream[cut:]]) == expected
    assert message_of_stream(stream[n : n + 1] for n in range(len(stream))) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {"role": "assistant", "content": "a", "refusal": None, "annotations": []}, {"content": "a"}, id="text"
        ),
        pytest.param({"content": None, "tool_calls": [CALL]}, {"tool_calls": [CALL]}, id="a tool call"),
        pytest.param({"content": "", "tool_calls": [], "refusal": "no"}, {"refusal": "no"}, id="a refusal"),
        pytest.param({"content": "", "reasoning_content": "hm"}, None, id="thoughts alone"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_a_whole_answer_says_what_its_first_choice_says(
    answer: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    whole = {"choices": [{"index": 0, "message": answer}]}
    assert message_of(whole) == (expected and {"role": "assistant", **expected})
    assert clean(answer) == ({"role": "assistant", **expected} if expected else {})


@pytest.mark.parametrize(
    "choices", [[], [None], [{}], [{"message": None}]], ids=["none", "null", "empty", "no message"]
)
def test_an_answer_without_a_message_says_nothing(choices: list[Any]) -> None:
    assert message_of({"choices": choices}) is None


def test_a_second_choice_does_not_speak_for_the_first() -> None:
    silent, speaking = {"message": {"content": ""}}, {"message": {"content": "b"}}
    assert message_of({"choices": [silent, speaking]}) is None
