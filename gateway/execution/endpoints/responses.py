"""``/responses``: items in, items out, with events of its own, and with answers that a provider may store."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import InvalidRequest
from gateway.execution.endpoints.endpoint import Endpoint, is_streamed, model_of
from gateway.execution.request import Request
from gateway.execution.streaming import ErrorEvent, EventReader, StreamReader
from gateway.policy import stored_ids
from gateway.policy.blacking_out import black_out_error
from gateway.policy.parameters import adapt
from gateway.policy.prompts import with_instructions
from gateway.policy.traits import words_of_response
from gateway.providers.sse import data_of

if TYPE_CHECKING:
    from gateway.execution.prepared_target import PreparedTarget

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A final event repeats the whole answer, images included."""
PREAMBLE = frozenset(("response.created", "response.in_progress", "response.queued"))
GIVEN_UP = frozenset(("response.failed", "response.cancelled"))
MOST_HELD_BYTES = 1024 * 1024
COMPLETE = frozenset(("response.completed", "response.incomplete"))


class Responses(Endpoint):
    """The successor of chat completions."""

    name = "responses"
    path = "/responses"
    lacks = "no output"
    refers = True

    def read(self, body: dict[str, Any]) -> Request:
        """Check model, input and stream, and find out who holds what the request refers to."""
        given = body.get("input")
        if given is not None and not isinstance(given, str | list):
            raise InvalidRequest("'input' must be a text, or a list of items.", param="input")
        instructions = body.get("instructions")
        if instructions is not None and not isinstance(instructions, str):
            raise InvalidRequest("'instructions' must be a text.", param="instructions")
        _check_shapes(body)
        holders = stored_ids.holders_of(body)
        if len(holders) > 1:
            raise InvalidRequest(
                "The request refers to items that different providers store; send the items themselves instead.",
                param="input",
            )
        request = Request(self, body, model_of(body), is_streamed(body), words=words_of_response(body))
        request.held_by = holders.pop() if holders else None
        return request

    def adapt(self, body: dict[str, Any], request: Request, target: "PreparedTarget") -> list[str]:
        """Give ids back as their provider knows them, add the prompt, change the parameters, ask for the contract."""
        changed = stored_ids.untag(body, target.tag, request.owner)
        if target.prompt is not None:
            with_instructions(target.prompt, target.response_examples, body)
            if target.cache_keys is not None and body.get("prompt_cache_key") is None:
                body["prompt_cache_key"] = target.cache_keys.next()
        changed += adapt(body, target.target.parameters, self.name)
        if not request.words.isdisjoint(target.capabilities.sensitive):
            changed += target.capabilities.adapt(body, self.name)
        if target.contract_format is not None and not (body.get("text") or {}).get("format"):
            schema = target.contract_format["json_schema"]
            body["text"] = {**(body.get("text") or {}), "format": {"type": "json_schema", **schema}}
            changed.append("text.format")
        return changed

    def input_chars(self, body: Mapping[str, Any]) -> int:
        """Count instructions, input and tools, as they are written."""
        parts = (body.get(part) for part in ("instructions", "input", "tools", "text"))
        return sum(len(part) if isinstance(part, str) else len(orjson.dumps(part)) for part in parts if part)

    def reader(self, request: Request, target: "PreparedTarget", content_type: bytes) -> StreamReader | None:
        """Read events where a stream was asked for."""
        if not request.streamed:
            return None
        hold = request.body.get("background") is not True
        return ResponseReader(target.tag, request.owner, hold=hold, secret=target.upstream.secret)

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Look for output."""
        return isinstance(answer.get("output"), list)

    def relayed(self, answer: dict[str, Any], body: bytes, request: Request, target: "PreparedTarget") -> bytes:
        """Tag the ids."""
        black_out_error(answer, target.upstream.secret)
        stored_ids.tag_answer(answer, target.tag, request.owner)
        return orjson.dumps(answer)

    def output_chars(self, answer: Mapping[str, Any]) -> int:
        """Count texts and arguments."""
        return sum(len(text) for text in self.texts(answer)) + sum(
            len(item["arguments"])
            for item in answer["output"]
            if isinstance(item, dict) and isinstance(item.get("arguments"), str)
        )

    def texts(self, answer: Mapping[str, Any]) -> list[str]:
        """Return the text of each message."""
        said = []
        for item in answer["output"]:
            parts = item.get("content") if isinstance(item, dict) and item.get("type") == "message" else None
            texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
            words = [text for text in texts if isinstance(text, str)]
            # A refusal is a part without a text: it says nothing that a contract is about, as in chat.
            if words:
                said.append("".join(words))
        return said

    def error_event(self, message: str, code: str, request_id: str) -> bytes:
        """Write the error both ways: as this stream's own event, and where SDKs look for one in any stream."""
        error = {"message": message, "type": "api_error", "param": None, "code": code, "request_id": request_id}
        event = {"type": "error", "code": code, "message": message, "param": None, "error": error}
        return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def _check_shapes(body: dict[str, Any]) -> None:
    """Check what is looked into on the way: items, tools, and where the answer's format stands.

    Raises:
        InvalidRequest: one of them is of the wrong type.
    """
    text, tools = body.get("text"), body.get("tools")
    if text is not None and not isinstance(text, dict):
        raise InvalidRequest("'text' must be an object.", param="text")
    for name, id_ in (
        ("previous_response_id", body.get("previous_response_id")),
        ("conversation", stored_ids.conversation_of(body)),
    ):
        # What is no text is looked up nowhere here, and might be somewhere else.
        if not isinstance(id_, str) and body.get(name) is not None:
            raise InvalidRequest(f"'{name}' must be an id.", param=name)
    for name, listed in (("input", body.get("input")), ("tools", tools)):
        for i, one in enumerate(listed if isinstance(listed, list) else ()):
            for field in ("type", "role", "id"):
                if isinstance(one, dict) and not isinstance(one.get(field), str | None):
                    raise InvalidRequest(f"'{name}[{i}].{field}' must be a text.", param=f"{name}[{i}].{field}")


class ResponseReader(EventReader):
    """Reads the events of a response.

    What comes before anything of the answer is held back (``hold``): a provider confirms a request before it knows
    whether it can be answered, and until something was sent on, somebody else may answer.
    """

    def __init__(self, tag: str, owner: stored_ids.Owner | None = None, *, hold: bool, secret: str = "") -> None:
        """``secret`` is what the provider was called with, to be kept out of its own words of a failure."""
        super().__init__(MAX_EVENT_BYTES)
        self._secret = secret
        self._tag, self._owner = tag, owner
        self._hold = hold
        self._held: list[bytes] = []
        self._held_bytes = 0

    def _pass(self, event: bytes) -> bytes | None:
        # This endpoint has no [DONE]; some servers send one all the same, and it says nothing of the answer.
        return None if data_of(event) == b"[DONE]" else super()._pass(event)

    def _read(self, event: bytes, chunk: dict[str, Any]) -> bytes | None:
        kind, response = chunk.get("type"), chunk.get("response")
        if isinstance(response, dict):
            self.model = response.get("model") or self.model
            self.usage = response.get("usage") or self.usage
            self.service_tier = response.get("service_tier") or self.service_tier
        delta = chunk.get("delta")
        if isinstance(delta, str):
            self.output_chars += len(delta)
            self.output_events += 1
        if kind == "error" or (kind == "response.failed" and not self.events):
            said = response.get("error") if isinstance(response, dict) else None
            raise ErrorEvent({"error": said or {name: chunk.get(name) for name in ("code", "message", "param")}})
        if kind in COMPLETE or kind in GIVEN_UP:
            self.finished, self.failed, self.done = kind in COMPLETE, kind in GIVEN_UP, True
            if kind in GIVEN_UP and isinstance(response, dict):
                black_out_error(response, self._secret)
        stored_ids.tag_event(chunk, self._tag, self._owner)
        written = b"data: " + orjson.dumps(chunk)
        if isinstance(kind, str):
            written = b"event: %b\n%b" % (kind.encode(), written)
        if kind in PREAMBLE and self._hold and not self.events:
            self._held.append(written)
            self._held_bytes += len(written)
            if self._held_bytes <= MOST_HELD_BYTES:
                return None
            written = self._held.pop()
        self.events += 1
        if self._held:
            written = b"\n\n".join([*self._held, written])
            self._held.clear()
        return written
