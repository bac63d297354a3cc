"""What the provider counted, miscounted or did not count."""

from typing import Any

import pytest
from fake_provider import DONE, USAGE, WHOLE_STREAM, FakeProvider, chunk, completion, says, streams, usage_chunk
from served_gateway import Serve

HUGE = {"prompt_tokens": 10**18, "completion_tokens": 4}
CALL_WITHOUT_FUNCTION = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": None}]}
ODD_ARGUMENTS = {"role": "assistant", "tool_calls": [{"function": {"arguments": 7}}]}

COUNTS: list[Any] = [
    pytest.param(USAGE, "provider", (10, 4), id="a count"),
    pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, "provider", (0, 0), id="a zero that was counted"),
    pytest.param(None, "estimated", (5, 2), id="no count"),
    pytest.param({}, "estimated", (5, 2), id="an empty count"),
    pytest.param([7], "estimated", (5, 2), id="a list"),
    pytest.param({"prompt_tokens": -1, "completion_tokens": 4}, "estimated", (5, 2), id="a negative count"),
    pytest.param({"prompt_tokens": 1.5, "completion_tokens": 4}, "estimated", (5, 2), id="a fraction"),
    pytest.param({"prompt_tokens": "10", "completion_tokens": 4}, "estimated", (5, 2), id="a string"),
    pytest.param(HUGE, "estimated", (5, 2), id="an absurd count"),
    pytest.param({"prompt_tokens": True, "completion_tokens": 4}, "estimated", (5, 2), id="a truth value"),
]


@pytest.mark.parametrize(("usage", "source", "tokens"), COUNTS)
async def test_an_incredible_count_is_replaced_by_an_estimate_and_marked(
    serve: Serve, provider: FakeProvider, usage: object, source: str, tokens: tuple[int, int]
) -> None:
    gateway = await serve()
    provider.models["tuned"] = says(completion(usage=usage))
    assert (await gateway.chat()).status_code == 200
    last = [usage_chunk(usage)] if usage is not None else []
    provider.models["tuned"] = streams(*WHOLE_STREAM[:3], *last, DONE)
    assert (await gateway.stream()).done
    whole, streamed = await gateway.rows(2)
    for row in (whole, streamed):
        assert (row.usage_source, (row.input_tokens, row.output_tokens)) == (source, tokens)
        assert row.outcome == "ok"
    # "base" answered, at 3 and 4 dollars a million.
    assert whole.cost_nanousd == tokens[0] * 3000 + tokens[1] * 4000
    estimated = await gateway.metric("gateway_usage_estimated_total", provider="first")
    assert estimated == (2 if source == "estimated" else 0)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(CALL_WITHOUT_FUNCTION, id="a tool call without a function"),
        pytest.param(ODD_ARGUMENTS, id="arguments that are no text"),
        pytest.param({"content": ["a", {"text": 5}]}, id="content in odd parts"),
        pytest.param({"tool_calls": 7}, id="tool calls that are no list"),
        pytest.param(None, id="no message"),
    ],
)
async def test_an_answer_of_odd_shape_still_has_its_row(serve: Serve, provider: FakeProvider, message: object) -> None:
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    provider.models["tuned"] = says(completion(usage=None, choices=choices))
    gateway = await serve()
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["choices"]) == (200, choices)
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.usage_source) == ("ok", "estimated")


async def test_of_counts_in_every_event_the_last_one_holds(serve: Serve, provider: FakeProvider) -> None:
    counts = [{"prompt_tokens": 10, "completion_tokens": n} for n in (1, 2, 9)]
    provider.models["tuned"] = streams(
        chunk("a", usage=counts[0]), chunk("b", usage=counts[1]), chunk(finish="stop", usage=counts[2]), DONE
    )
    gateway = await serve()
    assert (await gateway.stream()).text == "ab"
    (row,) = await gateway.rows(1)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (10, 9, "provider")


async def test_a_count_sent_twice_is_counted_once(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = streams(*WHOLE_STREAM[:3], usage_chunk(), usage_chunk(), DONE)
    gateway = await serve()
    await gateway.stream()
    assert (await gateway.rows(1))[0].output_tokens == 4


async def test_answers_with_one_id_are_rows_of_their_own(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    for _ in range(3):
        assert (await gateway.chat()).json()["id"] == "chatcmpl-1"
    assert len({row.attempt_id for row in await gateway.rows(3)}) == 3


async def test_usage_is_always_asked_for_and_stripped_for_who_did_not_ask(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    plain = await gateway.stream()
    assert all(chunk["choices"] for chunk in plain.chunks)
    asked = await gateway.stream(stream_options={"include_usage": True, "chunk_size": 3})
    assert [chunk["usage"] for chunk in asked.chunks if not chunk["choices"]] == [USAGE]
    declined = await gateway.stream(stream_options={"include_usage": False})
    assert all(chunk["choices"] for chunk in declined.chunks)
    whole = await gateway.chat()
    assert whole.json()["usage"] == USAGE
    sent = [call.json.get("stream_options") for call in provider.chats()]
    assert sent == [{"include_usage": True}, {"include_usage": True, "chunk_size": 3}, {"include_usage": True}, None]
    assert [(row.usage_source, row.output_tokens) for row in await gateway.rows(4)] == [("provider", 4)] * 4


async def test_an_event_without_choices_that_counts_nothing_is_passed_on(serve: Serve, provider: FakeProvider) -> None:
    """Azure's first event says what its content filter thinks of the prompt."""
    filtered = chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}])
    provider.models["tuned"] = streams(filtered, *WHOLE_STREAM)
    gateway = await serve()
    answer = await gateway.stream()
    assert answer.chunks[0]["prompt_filter_results"] == [{"prompt_index": 0}]
    assert answer.text == "Hello."
    await gateway.rows(1)


async def test_the_cached_part_of_the_input_is_kept_apart(serve: Serve, provider: FakeProvider) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 15},
    }
    provider.models["tuned"] = says(completion(usage=usage, model="tuned"))
    gateway = await serve()
    await gateway.chat()
    (row,) = await gateway.rows(1)
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens) == (100, 60, 20, 15)
    assert row.cost_nanousd == 100 * 1000 + 20 * 2000
