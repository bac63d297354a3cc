"""What litellm leaves to do until an answer is in OpenAI's format."""

from typing import Any

import pytest

from gateway.providers.litellm_answer import as_answer, as_chunk, as_response_event

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def said(**delta: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta}


def test_a_message_with_tool_calls_alone_has_a_content_of_null() -> None:
    message = {"role": "assistant", "tool_calls": [{"id": "c"}]}
    answer = as_answer({"choices": [{"index": 0, "message": message}]})
    assert answer["choices"][0]["message"]["content"] is None


def test_what_was_said_stays() -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]
    assert as_answer({"choices": choices, "usage": USAGE}) == {"choices": choices, "usage": USAGE}


@pytest.mark.parametrize(
    ("chunk", "choices"),
    [
        pytest.param({"choices": [said(content="Hi")]}, [{**said(content="Hi"), "finish_reason": None}], id="words"),
        pytest.param(
            {"choices": [said() | {"finish_reason": "stop"}]},
            [said() | {"finish_reason": "stop"}],
            id="an end",
        ),
        pytest.param({"choices": [said()], "usage": USAGE}, [], id="a count comes by itself"),
        pytest.param({"choices": [], "usage": USAGE}, [], id="a count that did already"),
        pytest.param(
            {"choices": [said(content="Hi")], "usage": USAGE},
            [{**said(content="Hi"), "finish_reason": None}],
            id="words with a count are still words",
        ),
        pytest.param(
            {"choices": [said() | {"finish_reason": "stop"}], "usage": USAGE},
            [said() | {"finish_reason": "stop"}],
            id="an end with a count is still an end",
        ),
        pytest.param(
            {"choices": [{"index": 0, "text": "Hi"}], "usage": USAGE},
            [{"index": 0, "text": "Hi", "finish_reason": None}],
            id="a completion's words",
        ),
    ],
)
def test_a_chunk_looks_as_openais_does(chunk: dict[str, Any], choices: list[Any]) -> None:
    assert as_chunk(chunk)["choices"] == choices


@pytest.mark.parametrize("mend", [as_answer, as_chunk], ids=["whole", "a chunk"])
def test_litellms_own_price_is_left_out(mend: Any) -> None:
    assert mend({"choices": [], "usage": USAGE | {"cost": 0.1}})["usage"] == USAGE


def test_events_of_a_bridged_response_are_numbered_and_stored_by_nobody() -> None:
    event = {"type": "response.completed", "sequence_number": 1, "response": {"store": True, "usage": {"cost": 0.1}}}
    mended = as_response_event(event, 7, bridged=True)
    assert mended["sequence_number"] == 7
    assert mended["response"] == {"store": False, "usage": {}}


def test_events_of_a_vendors_own_keep_their_numbers() -> None:
    event = {"type": "response.created", "sequence_number": 3, "response": {"store": True}}
    assert as_response_event(dict(event), 0, bridged=False) == event
