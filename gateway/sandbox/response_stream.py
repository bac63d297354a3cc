"""The events of a response's stream, in OpenAI's order, numbered from 0."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.sandbox.answers import Answer, ToolCall
from gateway.sandbox.chat import in_events
from gateway.sandbox.logprobs import token_logprobs
from gateway.sandbox.refusals import server_error
from gateway.sandbox.stored_responses import Item, running


class ResponseEvents:
    """The stream of one response."""

    def __init__(self, response: Mapping[str, Any], answer: Answer, top_logprobs: int | None) -> None:
        self._response = response
        self._answer = answer
        self._top_logprobs = top_logprobs
        self._sequence = 0

    def begin(self) -> bytes:
        """Return the events that confirm the request, before anything is known of the answer."""
        begun = running(self._response, "in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield the events of each item."""
        calls = iter(self._answer.calls)
        for index, item in enumerate(self._response["output"]):
            if item["type"] == "reasoning":
                yield from self._reasoning(index, item)
            elif item["type"] == "function_call":
                yield from self._call(index, item, next(calls))
            else:
                yield from self._message(index, item)

    def end(self) -> bytes:
        """Return the event that holds the whole response; there is no ``[DONE]`` here."""
        return self._event(f"response.{self._response['status']}", response=self._response)

    def error(self) -> bytes:
        """Return an error event."""
        error = server_error().body["error"]
        return self._event("error", error={**error, "code": "server_error"})

    def _reasoning(self, index: int, item: Item) -> Iterator[tuple[bytes, int]]:
        tokens = self._answer.reasoning_tokens
        yield self._item("added", index, {**item, "summary": []}), 0
        for place, part in enumerate(item["summary"]):
            at = {"item_id": item["id"], "output_index": index, "summary_index": place}
            empty = {"type": "summary_text", "text": ""}
            yield self._event("response.reasoning_summary_part.added", **at, part=empty), tokens
            tokens = 0
            # The summary is not what was thought, and costs nothing beyond it.
            yield self._event("response.reasoning_summary_text.delta", **at, delta=part["text"]), 0
            yield self._event("response.reasoning_summary_text.done", **at, text=part["text"]), 0
            yield self._event("response.reasoning_summary_part.done", **at, part=part), 0
        yield self._item("done", index, item), tokens

    def _call(self, index: int, item: Item, call: ToolCall) -> Iterator[tuple[bytes, int]]:
        at = {"item_id": item["id"], "output_index": index}
        yield self._item("added", index, {**item, "status": "in_progress", "arguments": ""}), call.name_tokens
        for part in in_events(call.tokens):
            yield self._event("response.function_call_arguments.delta", **at, delta="".join(part)), len(part)
        said = {"arguments": item["arguments"], "name": item["name"]}
        yield self._event("response.function_call_arguments.done", **at, **said), 0
        yield self._item("done", index, item), 0

    def _message(self, index: int, item: Item) -> Iterator[tuple[bytes, int]]:
        at = {"item_id": item["id"], "output_index": index, "content_index": 0}
        whole = item["content"][0]
        yield self._item("added", index, {**item, "status": "in_progress", "content": []}), 0
        yield self._event("response.content_part.added", **at, part={**whole, "text": "", "logprobs": []}), 0
        for part in in_events(self._answer.tokens):
            logprobs = self._logprobs(part)
            yield self._event("response.output_text.delta", **at, delta="".join(part), logprobs=logprobs), len(part)
        done = {"text": whole["text"], "logprobs": whole["logprobs"]}
        yield self._event("response.output_text.done", **at, **done), 0
        yield self._event("response.content_part.done", **at, part=whole), 0
        yield self._item("done", index, item), 0

    def _item(self, what: str, index: int, item: Item) -> bytes:
        return self._event(f"response.output_item.{what}", output_index=index, item=item)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(event))

    def _logprobs(self, tokens: Sequence[str]) -> list[dict[str, Any]]:
        return [] if self._top_logprobs is None else token_logprobs(tokens, self._top_logprobs)
