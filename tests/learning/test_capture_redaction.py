"""What is captured is redacted before it touches a disk, or refused; and nothing that callers send stops it."""

import base64
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.config.routes_learning import Capture
from gateway.learning.capture.worker import Seen
from gateway.store.captured import CapturedStore
from tests.learning.seen_requests import (
    ASKED,
    CLEAN,
    PLANTED,
    SECRETS,
    a_route,
    answered,
    call,
    everything,
    said,
    seen,
    streamed,
    written,
)

IN_A_MESSAGE = {
    "a user's message": (said(PLANTED), {}),
    "a part of one": (said([{"type": "text", "text": PLANTED}]), {}),
    "the system message": ({"messages": [{"role": "system", "content": PLANTED}, *ASKED]}, {}),
    "a message's name": ({"messages": [{"role": "user", "name": SECRETS[0], "content": PLANTED}]}, {}),
    "a tool call's arguments": (
        {"messages": [*ASKED, {"role": "assistant", "tool_calls": [call(json.dumps({"q": PLANTED}))]}, *ASKED]},
        {},
    ),
    "a tool's result": ({"messages": [*ASKED, {"role": "tool", "tool_call_id": "a", "content": PLANTED}]}, {}),
    "a tool's description": (
        {"messages": ASKED, "tools": [{"type": "function", "function": {"name": "f", "description": PLANTED}}]},
        {},
    ),
    "the format of answers": (
        {"messages": ASKED, "response_format": {"type": "json_schema", "json_schema": {"description": PLANTED}}},
        {},
    ),
    "the answer": (said("hello"), {"answer": answered(content=PLANTED)}),
    "the answer's call": (said("hello"), {"answer": answered(tool_calls=[call(json.dumps({"q": PLANTED}))])}),
    "a refusal": (said("hello"), {"answer": answered(refusal=PLANTED)}),
    "a streamed answer, by letters": (
        said("hello"),
        {"answer": None, "blocks": [streamed(*({"content": letter} for letter in PLANTED))]},
    ),
    "a streamed answer, its bytes cut anywhere": (
        said("hello"),
        {"answer": None, "blocks": [bytes([byte]) for byte in streamed({"content": PLANTED})]},
    ),
    "a streamed call's arguments": (
        said("hello"),
        {
            "answer": None,
            "blocks": [
                streamed(
                    *(
                        {"tool_calls": [{"index": 0, "function": {"arguments": letter}}]}
                        for letter in json.dumps({"q": PLANTED})
                    )
                )
            ],
        },
    ),
}


@pytest.mark.parametrize(("body", "fields"), IN_A_MESSAGE.values(), ids=IN_A_MESSAGE)
async def test_what_is_to_be_blacked_out_never_reaches_the_disk(
    store: CapturedStore, path: Path, body: dict[str, Any], fields: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        rows, outcomes = await written(store, seen(body, **fields))
    assert outcomes == {"kept": 1}
    assert [CLEAN in row.request + row.answer for row in rows] == [True]
    assert {kind: rows[0].redacted[kind] > 0 for kind in ("email", "phone", "card", "customer")} == dict.fromkeys(
        ("email", "phone", "card", "customer"), True
    )
    on_disk = everything(path)
    assert b"[email]" in on_disk
    assert [secret for secret in SECRETS if secret.encode() in on_disk or secret in str(logs)] == []


def parts(*texts: str) -> dict[str, Any]:
    return said([{"type": "text", "text": text} for text in texts])


async def test_a_message_in_parts_is_kept_where_each_can_be_redacted_by_itself(store: CapturedStore) -> None:
    rows, outcomes = await written(store, seen(parts("I am jane@example.com", "and my order is late.", "Call me.")))
    assert outcomes == {"kept": 1}
    assert orjson.loads(rows[0].request) == parts("I am [email]", "and my order is late.", "Call me.")


async def test_arguments_that_are_no_json_are_redacted_as_a_text(store: CapturedStore) -> None:
    asked = {"role": "assistant", "tool_calls": [call(r'{"to": "jane\u0040example.com", "card": 4111111111111111.0')]}
    rows, _ = await written(store, seen({"messages": [*ASKED, asked, *ASKED]}))
    assert [row.redacted.get("email") for row in rows] == [1]
    assert "example.com" not in rows[0].request


PICTURE = "data:image/png;base64,iVBORw0KGgo="
HIDDEN = {
    "across parts of a message": parts("I am jane@exam", "ple.com, hello"),
    "across parts, beside what is whole": parts("I am jane@exam", "ple.com", "or kim@example.com"),
    "across three parts, with spaces": parts("card 4111 1111", "1111", "1111"),
    "in a tool call's keys": {
        "messages": [*ASKED, {"role": "assistant", "tool_calls": [call(json.dumps({SECRETS[0]: "admin"}))]}, *ASKED]
    },
    "in a schema's keys": {"messages": ASKED, "tools": [{"properties": {SECRETS[0]: {}}}]},
    "in keys of JSON that the user wrote": said(json.dumps([{SECRETS[3]: 1}])),
    "in a picture": said([{"type": "image_url", "image_url": {"url": PICTURE}}]),
    "in sound": said([{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]),
    "in a file": said([{"type": "file", "file": {"file_data": "JVBERi0="}}]),
    "in what calls itself data": said("data:text/plain;base64," + base64.b64encode(PLANTED.encode()).decode()),
    "behind what calls itself data": said(f"data:;base64,, {PLANTED}"),
}


@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN)
async def test_what_cannot_be_redacted_whole_is_refused(store: CapturedStore, body: dict[str, Any]) -> None:
    assert await written(store, seen(body)) == ([], {"refused": 1})


async def test_pictures_are_kept_where_nothing_is_to_be_blacked_out(store: CapturedStore) -> None:
    body = said([{"type": "image_url", "image_url": {"url": PICTURE}}])
    rows, _ = await written(store, seen(body, route=a_route(Capture(share=1.0, redact=()))))
    assert [orjson.loads(row.request) for row in rows] == [body]


NESTED: Any = "deep"
for _ in range(300):
    NESTED = [NESTED]
HOSTILE = {
    "no messages": {},
    "messages that are null": {"messages": None},
    "messages that are a text": {"messages": "hello"},
    "messages that are an object": {"messages": {"role": "user"}},
    "no message": {"messages": []},
    "a message that is a text": {"messages": ["hello"]},
    "a message that is null": {"messages": [None]},
    "half a surrogate pair": said("\ud800"),
    "a number beyond 64 bits": said(10**30),
    "nesting without end": said(NESTED),
    "what is no JSON": said(object()),
    "tools that are a set": {"messages": ASKED, "tools": {1}},
}
ODD = {
    "content that is null": said(None),
    "content that is a number": said(7),
    "content that is an object": said({"text": "hello"}),
    "parts that are none": said(["hello", None, 3, {"type": "text"}, {"type": "text", "text": None}]),
    "no role": {"messages": [{"content": "hello"}]},
    "a role that is a list": {"messages": [{"role": "user", "content": "a"}, {"role": 3, "content": "hello"}]},
    "tools that are a text": {"messages": ASKED, "tools": "hammer"},
    "calls that are none": {"messages": [*ASKED, {"role": "assistant", "tool_calls": [None, 3, {"function": None}]}]},
    "text that is nearly JSON": said('{"a": [1, 2'),
    "text that nests JSON without end": said("[" * 5_000 + "]" * 5_000),
}
NO_ANSWER = {
    "none": {},
    "null": {"choices": None},
    "a text": {"choices": "hello"},
    "no choice": {"choices": []},
    "an empty message": answered(),
    "a message that is a text": {"choices": [{"message": "hello"}]},
}
BROKEN_STREAMS = {
    "nothing": [],
    "no JSON": [b"data: {\n\n"],
    "no object": [b"data: [1]\n\n"],
    "no text": [b"data: \xff\xfe\n\n"],
    "choices that are none": [b'data: {"choices": [null, 3]}\n\n'],
    "a delta that is a text": [b'data: {"choices": [{"index": 0, "delta": "x"}]}\n\n'],
    "calls that are none": [b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [3]}}]}\n\n'],
    "indices of two kinds": [
        streamed({"tool_calls": [{"index": 0, "function": {"name": "f"}}, {"index": "b", "function": {"name": "g"}}]})
    ],
}
REFUSED = (
    [(f"a body of {name}", seen(body)) for name, body in HOSTILE.items()]
    + [(f"an answer of {name}", seen(answer=answer)) for name, answer in NO_ANSWER.items()]
    + [(f"a stream of {name}", seen(answer=None, blocks=blocks)) for name, blocks in BROKEN_STREAMS.items()]
    + [
        ("a pattern that cannot be used", seen(route=a_route(Capture(share=1.0, patterns={"p": "("})))),
        ("a body that is no object", seen(["hello"])),
    ]
)


@pytest.mark.parametrize("row", [row for _, row in REFUSED], ids=[name for name, _ in REFUSED])
async def test_what_cannot_be_read_neither_raises_nor_stops_the_rows_behind_it(store: CapturedStore, row: Seen) -> None:
    rows, outcomes = await written(store, row, seen(request_id="behind"))
    assert outcomes == {"refused": 1, "kept": 1}
    assert [row.request_id for row in rows] == ["behind"]


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
async def test_odd_requests_that_were_answered_are_kept_or_refused_without_harm(
    store: CapturedStore, body: dict[str, Any]
) -> None:
    rows, outcomes = await written(store, seen(body), seen(said("behind"), request_id="behind"))
    assert outcomes.total() == 2
    assert outcomes["dropped"] == 0
    assert "behind" in [row.request_id for row in rows]
